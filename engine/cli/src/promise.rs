//! Whether what attributes promise is kept by the plan of a model.

use girih_dsl::diag::{Code, Diagnostic, Sink};
use girih_dsl::elaborate::{elaborate, requests};
use girih_dsl::program::Program;
use girih_dsl::span::{FileId, Span};
use girih_graph::{Graph, Promised, Region};
use girih_plan::Broken;

use crate::planned::planned;

/// Reports every promise that the plan of `graph` does not keep. A graph without promises is not
/// planned.
pub fn check_promises(graph: &Graph, sink: &mut Sink) {
    if promises(&graph.root) {
        for broken in planned(graph).broken {
            sink.report(diagnostic(&broken));
        }
    }
}

/// The same for every module of the entry file, with its defaults. Files with mistakes and files
/// without attributes are not planned.
pub fn check_all_promises(program: &Program, sink: &mut Sink) {
    let files = program.files.iter();
    let attributes = files.filter(|file| program.sources.text(file.id).contains('@'));
    if sink.has_errors() || attributes.count() == 0 {
        return;
    }
    for request in requests(program) {
        if let Some(model) = elaborate(program, &request, sink) {
            check_promises(&model.graph, sink);
        }
    }
}

fn promises(region: &Region) -> bool {
    region.nodes().any(|(id, node)| {
        let own = region.origin(id);
        own.is_some_and(|origin| origin.promises.is_some())
            || node.op.regions().iter().any(promises)
    })
}

fn diagnostic(broken: &Broken) -> Diagnostic {
    let Broken {
        promise,
        origin,
        why,
    } = broken;
    let path = if origin.path.is_empty() {
        String::new()
    } else {
        format!(" in `{}`", origin.path)
    };
    let help = match promise.what {
        Promised::Fused => {
            "split the statement, or drop the attribute: `girih explain FILE` shows the plan"
        }
        Promised::BlockSparse { .. } => {
            "write the softmax over one axis with a `where`, and sum values with nothing but its weights"
        }
        Promised::Algorithm { .. } => "write `@algorithm(auto)`, or drop the attribute",
    };
    let span = Span::new(FileId(origin.file), promise.start, promise.end);
    Diagnostic::error(
        Code::new(501),
        format!("the plan does not keep `{}`{path}", promise.what),
    )
    .at(span, why.clone())
    .help(help)
}
