//! What was found in a file when it was published, for whoever is about to load it.

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// No pickle was found in it.
    Clean,
    /// Something in it could not be looked into.
    Unscanned,
    /// A pickle whose every name only builds data.
    Pickle,
    /// Loading it may run what its maker wrote; the server's administrator allows such files.
    Unsafe,
}
super::user::words!(Mark, Clean = "clean", Unscanned = "unscanned", Pickle = "pickle", Unsafe = "unsafe");

impl Mark {
    /// Is it left out by those who fetch a version without asking for pickles?
    pub fn is_left_out(self) -> bool {
        self >= Mark::Pickle
    }
}
