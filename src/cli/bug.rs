//! What is said when the program itself is at fault.

use std::any::Any;
use std::panic::{self, Location};

use super::terminal::write_error;

/// Reports a panic with its place and where to send it. A message made at run time is left out, since
/// it may hold what must not be shown; one that stands in the program is not.
pub fn report_panics() {
    panic::set_hook(Box::new(|what| {
        write_error(&report(what.payload(), what.location()));
    }));
}

fn report(payload: &(dyn Any + Send), place: Option<&Location<'_>>) -> String {
    let place = place.map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let message = match payload.downcast_ref::<&'static str>() {
        Some(message) => format!(": {message}"),
        None => String::new(),
    };
    let (version, repository) = (env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_REPOSITORY"));
    format!(
        "error: this is a bug in platform {version}, at {place}{message}\n  \
         hint: please report it with these lines at {repository}/issues\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_place_and_address_and_no_text_made_at_run_time() {
        let place = Some(Location::caller());
        let fixed: Box<dyn Any + Send> = Box::new("an invariant");
        let made: Box<dyn Any + Send> = Box::new("canary".to_owned());
        let report_fixed = report(fixed.as_ref(), place);
        assert!(report_fixed.contains("bug.rs:") && report_fixed.contains("an invariant"));
        let report_made = report(made.as_ref(), place);
        assert!(report_made.contains("/issues") && !report_made.contains("canary"));
    }
}
