//! The services of each call, read from their declarations, and the refusal of any other.

use super::{ALL, EVERY};
use crate::error::{ErrorCode, PluginError};
use crate::method::Method;

/// An error that says a service is not known here; hosts answer unknown names with it.
#[must_use]
pub fn unknown_service(name: &str) -> PluginError {
    PluginError::new(ErrorCode::Unsupported, format!("this host has no service named {name:?}"))
        .with_help("the plugin was built for a newer host")
}

/// True where a service may be asked for during a call of this method; for hosts, the fake one included.
///
/// # Errors
/// `Unsupported`: the name and the calls that offer it, or [`unknown_service`] for a name that no call offers.
pub fn check_offered(method: Method, name: &str) -> Result<(), PluginError> {
    let service = ALL.iter().find(|service| service.name == name).ok_or_else(|| unknown_service(name))?;
    if service.calls.contains(&method) {
        return Ok(());
    }
    let call = |method: &Method| format!("`{}`", method.as_str());
    let elsewhere: Vec<String> = EVERY.iter().filter(|method| service.calls.contains(method)).map(call).collect();
    let here = call(&method);
    Err(PluginError::new(ErrorCode::Unsupported, format!("the service {name:?} is not offered during {here}"))
        .with_help(format!("ask for it during {}", elsewhere.join(" or "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_call_offers() {
        for name in ["seed", "outline", "notice", "record", "gradient_step"] {
            assert!(check_offered(Method::Step, name).is_ok(), "{name}");
        }
        let told = |method, name| check_offered(method, name).unwrap_err().to_string();
        assert_eq!(
            told(Method::Step, "losses"),
            "the service \"losses\" is not offered during `step`; ask for it during `prepare` or `estimate` or `compress`"
        );
        assert!(told(Method::Estimate, "gradient_step").contains("ask for it during `step`"));
        assert!(told(Method::Attach, "seed").contains("is not offered during `attach`"));
        assert!(told(Method::Step, "telepathy").contains("built for a newer host"));
    }
}
