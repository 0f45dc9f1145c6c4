//! The girih command.
