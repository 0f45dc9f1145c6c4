//! A model as a picture.
//!
//! Modules are nested rounded boxes, equations are cards with the text of the model file,
//! wires are values with their axes; a stack of equal instances is drawn once with its
//! count. The picture is one self-contained SVG: generic fonts, light and dark, no script,
//! the same bytes for the same model.
//!
//! | file     | question                                              |
//! |----------|-------------------------------------------------------|
//! | `scene`  | which cards, boxes and wires does a graph have?       |
//! | `compact` | which modules are small enough to be one card?       |
//! | `fold`   | which instances of a stack are equal, hence drawn once? |
//! | `layers` | where do the items of one box stand?                  |
//! | `place`  | where does everything stand?                          |
//! | `draw`   | how is it written as SVG?                             |
//! | `style`  | colors, fonts, and how wide a text is                 |

mod compact;
mod draw;
mod fold;
mod layers;
mod place;
mod scene;
mod style;

use girih_graph::{Graph, Origin};

/// What a picture needs to know beside the graph.
pub trait Legend {
    /// The instances of the model: path and name of the module. The entry's path is empty.
    fn instances(&self) -> Vec<(&str, &str)>;

    /// The statement that a node came from. `None` for nodes that nothing in a file made.
    fn statement(&self, origin: &Origin) -> Option<Statement>;
}

/// A statement of a module, or a function that modules call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Tells statements apart.
    pub key: u64,
    /// The module it stands in; a function stands in none.
    pub module: Option<String>,
    /// As written; of a function, its name with its parameters.
    pub text: String,
}

/// The picture of a graph, as the text of an SVG file.
pub fn picture(graph: &Graph, legend: &dyn Legend) -> String {
    let scene = fold::fold(compact::compact(scene::scene(graph, legend)));
    let layout = place::place(&scene);
    draw::draw(&scene, &layout)
}
