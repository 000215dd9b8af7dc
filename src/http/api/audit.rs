//! `/admin/audit`: the audit log, for site administrators.

use actix_web::{HttpResponse, web};

use crate::domain::audit::AuditFilter;
use crate::domain::time::{SpanError, parse_span_ms};
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::Query;
use crate::service::Service;
use crate::wire::List;
use crate::wire::audit::AuditEntry;
use crate::wire::error::ProblemBody;

/// Lines of the audit log, newest first.
#[utoipa::path(get, path = "/api/v1/admin/audit", tag = "admin", params(
    ("account" = Option<String>, Query, description = "of this account only; also `anonymous` and `system`"),
    ("action" = Option<String>, Query, description = "of this action only, such as `publish`, `login.failed` or `refused`"),
    ("since" = Option<String>, Query, description = "from so long ago on (`90s`, `15m`, `24h`, `30d`)"),
    ("limit" = Option<u64>, Query, description = "1 to 100"),
    ("cursor" = Option<String>, Query, description = "`next` of the page before"),
), responses(
    (status = 200, body = List<AuditEntry>),
    (status = 403, body = ProblemBody, description = "only site administrators may see it"),
))]
pub async fn list(service: web::Data<Service>, caller: Caller, query: Query) -> Answer {
    let page = service.list_audit(&caller.0, filter(&service, &query)?, query.page()?).await?;
    Ok(HttpResponse::Ok().json(List::<AuditEntry>::from(page)))
}

/// What a query asks of the log.
pub fn filter(service: &Service, query: &Query) -> Result<AuditFilter, HttpError> {
    let wrong = |e: SpanError| HttpError::bad_request("bad_query", format!("'since': {e}"), "write 24h or 30d for so long ago");
    let since_ms = query.find("since").map(parse_span_ms).transpose().map_err(wrong)?;
    let since = since_ms.map(|ms| service.now().plus_ms(ms.saturating_neg()));
    Ok(AuditFilter { account: query.text("account"), action: query.text("action"), since })
}
