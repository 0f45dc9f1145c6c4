//! The Girih language: text to typed model to graph.
