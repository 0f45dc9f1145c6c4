//! Text up to a string that stops it.

/// Lets text through as it comes, up to the first of some strings.
///
/// What may be the beginning of a stop is held back until it is clear.
#[derive(Clone, Debug, Default)]
pub struct StopText {
    stops: Vec<String>,
    held: String,
    stopped: bool,
}

impl StopText {
    /// Text that ends before the first of `stops`; empty strings stop nothing.
    pub fn new(stops: impl IntoIterator<Item = String>) -> Self {
        Self {
            stops: stops.into_iter().filter(|stop| !stop.is_empty()).collect(),
            ..Self::default()
        }
    }

    /// Takes text and gives what is certain to be before any stop.
    pub fn push(&mut self, piece: &str) -> String {
        if self.stopped {
            return String::new();
        }
        self.held.push_str(piece);
        // The one that ends first, so that it does not matter how the text comes.
        let place = |stop: &String| {
            let at = self.held.find(stop.as_str())?;
            Some((at + stop.len(), at))
        };
        if let Some((_, at)) = self.stops.iter().filter_map(place).min() {
            self.stopped = true;
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let begun = |at: &usize| {
            let rest = &self.held[*at..];
            self.stops.iter().any(|stop| stop.starts_with(rest))
        };
        let places = self.held.char_indices().map(|(at, _)| at);
        let certain = places.into_iter().find(begun).unwrap_or(self.held.len());
        let rest = self.held.split_off(certain);
        std::mem::replace(&mut self.held, rest)
    }

    /// Gives what was held back, as no more text comes.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Whether a stop has come.
    pub fn has_stopped(&self) -> bool {
        self.stopped
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn through(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut stop = StopText::new(stops.iter().map(|stop| (*stop).to_owned()));
        let mut text: String = pieces.iter().map(|piece| stop.push(piece)).collect();
        text.push_str(&stop.finish());
        (text, stop.has_stopped())
    }

    #[test]
    fn text_ends_before_the_first_stop() {
        assert_eq!(through(&["END"], &["a EN", "D b"]), ("a ".to_owned(), true));
        assert_eq!(
            through(&["END"], &["a EN", "x"]),
            ("a ENx".to_owned(), false)
        );
        assert_eq!(through(&["END"], &["a EN"]), ("a EN".to_owned(), false));
        assert_eq!(through(&["b", "ab"], &["xa", "b"]), ("x".to_owned(), true));
        assert_eq!(through(&["b", "abc"], &["abc"]), ("a".to_owned(), true));
        assert_eq!(through(&[""], &["a"]), ("a".to_owned(), false));
        assert_eq!(through(&["aab"], &["aa", "ab"]), ("a".to_owned(), true));
        assert_eq!(through(&["é!"], &["né", "!"]), ("n".to_owned(), true));
    }

    #[test]
    fn what_cannot_be_a_stop_comes_at_once() {
        let mut stop = StopText::new(["###".to_owned()]);
        assert_eq!(stop.push("one #"), "one ");
        assert_eq!(stop.push("#two"), "##two");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[ab]{0,12}", stop in "[ab]{1,3}", other in "[ab]{0,3}", cuts in proptest::collection::vec(any::<bool>(), 12)) {
            let mut pieces = vec![String::new()];
            for (character, cut) in text.chars().zip(cuts) {
                if cut {
                    pieces.push(String::new());
                }
                if let Some(last) = pieces.last_mut() {
                    last.push(character);
                }
            }
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let before = text.split(&stop).next().unwrap_or_default();
            prop_assert_eq!(through(&[&stop], &pieces).0, before);
            let both = [stop.as_str(), &other];
            prop_assert_eq!(through(&both, &pieces), through(&both, &[&text]));
        }
    }
}
