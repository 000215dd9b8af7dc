//! Which repos a question may see, as SQL. Who may see what is decided in `service::access`; here it becomes the one
//! condition that every list, search and look at a blob asks.

use crate::db::Value;

/// Which private repos a list may hold beside the public ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visibility {
    /// All of them: a site administrator asks.
    Everything,
    /// Those in these namespaces (folded names).
    Public { and_namespaces: Vec<String> },
}

/// The condition under which a repo `r` may be seen; what it needs is added to `params`.
pub(super) fn seen_by(visible: &Visibility, params: &mut Vec<Value>) -> String {
    let Visibility::Public { and_namespaces } = visible else { return "1 = 1".to_owned() };
    let mut sql = "r.private = 0".to_owned();
    for namespace in and_namespaces {
        sql += &format!(" or ({})", in_namespace(namespace, params));
    }
    sql
}

/// The condition under which a repo `r` is in a namespace, by its folded name: all of `namespace/...` lies between
/// `namespace/` and `namespace0`, since '0' follows '/', and so an index finds it.
pub(super) fn in_namespace(folded: &str, params: &mut Vec<Value>) -> String {
    params.push(Value::Text(format!("{folded}/")));
    params.push(Value::Text(format!("{folded}0")));
    format!("r.folded >= ${} and r.folded < ${}", params.len() - 1, params.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_counted_on_from_those_there_are() {
        let mut params = vec![Value::Int(7)];
        let visible = Visibility::Public { and_namespaces: vec!["ada".into(), "acme".into()] };
        let expected = "r.private = 0 or (r.folded >= $2 and r.folded < $3) or (r.folded >= $4 and r.folded < $5)";
        assert_eq!(seen_by(&visible, &mut params), expected);
        let text = |text: &str| Value::Text(text.into());
        assert_eq!(params, [Value::Int(7), text("ada/"), text("ada0"), text("acme/"), text("acme0")]);
        assert_eq!(seen_by(&Visibility::Everything, &mut params), "1 = 1");
        assert_eq!(params.len(), 5, "who sees everything is asked for nothing");
    }
}
