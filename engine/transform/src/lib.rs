//! Graph to graph: gradients.
