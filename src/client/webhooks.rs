//! The calls about webhooks.

use reqwest::Method;

use super::retry::Repeat;
use super::send::Call;
use super::{Client, Result};
use crate::wire::List;
use crate::wire::webhooks::{CreateWebhook, CreatedWebhook, Delivery, Webhook, WebhookSecret};

impl Client {
    pub async fn webhooks(&self) -> Result<List<Webhook>> {
        self.json(Call::get(self.address.api(&["webhooks"]))).await
    }

    /// The secret in the answer is shown nowhere else.
    pub async fn create_webhook(&self, body: &CreateWebhook) -> Result<CreatedWebhook> {
        self.json(Call::with(Method::POST, self.address.api(&["webhooks"]), Repeat::IfRefused, body)?).await
    }

    pub async fn remove_webhook(&self, id: &str) -> Result<()> {
        self.done(Call::delete(self.address.api(&["webhooks", id]))).await
    }

    /// What it was told last, newest first.
    pub async fn webhook_deliveries(&self, id: &str) -> Result<List<Delivery>> {
        self.json(Call::get(self.address.api(&["webhooks", id, "deliveries"]))).await
    }

    /// Tells it something that means nothing.
    pub async fn test_webhook(&self, id: &str) -> Result<Delivery> {
        self.json(Call::new(Method::POST, self.address.api(&["webhooks", id, "test"]), Repeat::IfRefused)).await
    }

    pub async fn rotate_webhook(&self, id: &str) -> Result<WebhookSecret> {
        self.json(Call::new(Method::POST, self.address.api(&["webhooks", id, "rotate"]), Repeat::IfRefused)).await
    }

    pub async fn enable_webhook(&self, id: &str) -> Result<Webhook> {
        self.json(Call::new(Method::POST, self.address.api(&["webhooks", id, "enable"]), Repeat::Always)).await
    }
}
