//! Tests that cross a package border, and what several of them share.

pub mod causal_graph;
pub mod compare;
pub mod direct;
pub mod mutate;
pub mod narrow;
pub mod random_graph;
pub mod shrink;
