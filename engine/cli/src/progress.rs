//! Progress on a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar of no length yet, drawn so many times a second at most; nothing where nobody watches.
pub(crate) fn bar(watched: bool, hertz: u8) -> ProgressBar {
    let target = if watched {
        ProgressDrawTarget::stderr_with_hz(hertz)
    } else {
        ProgressDrawTarget::hidden()
    };
    ProgressBar::with_draw_target(None, target)
}

/// How a bar looks.
///
/// # Panics
///
/// The template is malformed.
pub(crate) fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.expect("the template is ours and well-formed")
}
