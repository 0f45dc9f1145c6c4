//! Tests that cross a package border.
