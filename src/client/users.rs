//! The calls about people and tokens.

use reqwest::Method;

use super::retry::Repeat;
use super::send::Call;
use super::{Client, Result};
use crate::wire::List;
use crate::wire::users::{Account, CreateAccount, CreateToken, CreatedAccount, CreatedToken, Token, Whoami};

impl Client {
    /// Whose token this is; refused without one.
    pub async fn whoami(&self) -> Result<Whoami> {
        self.json(Call::get(self.address.api(&["whoami"]))).await
    }

    pub async fn account(&self, name: &str) -> Result<Account> {
        self.json(Call::get(self.address.api(&["users", name]))).await
    }

    pub async fn create_account(&self, body: &CreateAccount) -> Result<CreatedAccount> {
        self.json(Call::with(Method::POST, self.address.api(&["users"]), Repeat::IfRefused, body)?).await
    }

    pub async fn tokens(&self) -> Result<List<Token>> {
        self.json(Call::get(self.address.api(&["tokens"]))).await
    }

    /// The secret in the answer is shown nowhere else.
    pub async fn create_token(&self, body: &CreateToken) -> Result<CreatedToken> {
        self.json(Call::with(Method::POST, self.address.api(&["tokens"]), Repeat::IfRefused, body)?).await
    }

    pub async fn revoke_token(&self, id: &str) -> Result<()> {
        self.done(Call::delete(self.address.api(&["tokens", id]))).await
    }
}
