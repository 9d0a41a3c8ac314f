//! The plugins that this host can run, by the version of the plugin API that they were built with.
//!
//! Rule: the same first number, and a middle number that is not above ours: an older plugin asks for nothing that we lack.

use scaleot_plugin_api::export::API_VERSION;

/// Why a plugin of this API version cannot run here.
///
/// # Errors
/// One sentence that names both versions and what to do.
pub fn check_api(built_with: &str) -> Result<(), String> {
    let Some(found) = first_two(built_with) else {
        return Err(format!("its plugin API version is {built_with:?}, expected three numbers such as {API_VERSION}"));
    };
    let Some(ours) = first_two(API_VERSION) else { return Ok(()) };
    if found.0 != ours.0 {
        return Err(other_major(built_with));
    }
    if found.1 > ours.1 {
        return Err(format!(
            "it was built for plugin API {built_with}, newer than this host's {API_VERSION}; \
             use a newer scaleot, or rebuild it with this host's scaleot-plugin-api"
        ));
    }
    Ok(())
}

/// The refusal where the first numbers differ.
pub(super) fn other_major(built_with: &str) -> String {
    format!(
        "it was built for plugin API {built_with}, this host offers {API_VERSION}; rebuild it with this host's scaleot-plugin-api"
    )
}

fn first_two(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    let (major, minor, patch) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?);
    (patch.is_ok() && numbers.next().is_none()).then_some((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_minor_runs_and_nothing_newer() {
        let (major, minor) = first_two(API_VERSION).unwrap();
        assert_eq!(check_api(API_VERSION), Ok(()));
        assert_eq!(check_api(&format!("{major}.0.0")), Ok(()));
        assert_eq!(check_api(&format!("{major}.{minor}.99")), Ok(()));
        for (version, says) in [
            (format!("{major}.{}.0", minor + 1), "newer than this host's"),
            (format!("{}.0.0", major + 1), "rebuild it with this host's scaleot-plugin-api"),
            ("0.9.0".to_owned(), "rebuild it with this host's scaleot-plugin-api"),
            ("1.0".to_owned(), "expected three numbers"),
            ("1.x.0".to_owned(), "expected three numbers"),
            (String::new(), "expected three numbers"),
        ] {
            let problem = check_api(&version).unwrap_err();
            assert!(problem.contains(says) && problem.contains(&version), "{version}: {problem}");
        }
    }
}
