//! How fast a model runs: the parts of `girih bench`.
//!
//! | file      | question                                                        |
//! |-----------|-----------------------------------------------------------------|
//! | `asked`   | which sizes, and what are inputs drawn from?                    |
//! | `draw`    | which numbers are the inputs?                                   |
//! | `table`   | which positions may an integer input hold?                      |
//! | `measure` | how long does a run take?                                       |
//! | `process` | how much processor time and memory did this process need?       |

pub mod asked;
pub mod draw;
pub mod measure;
pub mod process;
pub mod table;
