//! Which parameters does a procedure's model have?

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use girih::backend::NAMES;
use girih::procedure::{Around, Ready, Setup, json};
use girih_dsl::diag::Colors;
use girih_dsl::model::Static;
use girih_graph::Graph;
use girih_runtime::backend::{
    Backend, Bindings, CompileError, Executable, Outputs, ParamSource, Params, Progress, RunError,
    silent,
};
use girih_runtime::reference::Reference;
use girih_runtime::weights;
use serde_json::json as value;

use crate::{READER, close, file, girih, paper, told};

/// Counts what is read of parameters.
struct Counting(Arc<AtomicUsize>);

struct Counted(Box<dyn Executable>, Arc<AtomicUsize>);

impl Backend for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn compile(&self, graph: &Graph) -> Result<Box<dyn Executable>, CompileError> {
        let own = Reference.compile(graph)?;
        Ok(Box::new(Counted(own, Arc::clone(&self.0))))
    }
}

impl Executable for Counted {
    fn load(
        &self,
        source: &mut dyn ParamSource,
        progress: &mut Progress<'_>,
    ) -> Result<Params, RunError> {
        let params = self.0.load(source, progress)?;
        self.1.fetch_add(params.len(), Ordering::Relaxed);
        Ok(params)
    }

    fn run(&self, bindings: &Bindings, progress: &mut Progress<'_>) -> Result<Outputs, RunError> {
        self.0.run(bindings, progress)
    }

    fn sibling(&self, graph: &Graph) -> Result<Box<dyn Executable>, CompileError> {
        self.0.sibling(graph)
    }
}

#[test]
fn a_model_that_is_called_at_several_places_is_loaded_once() {
    let procedures = "
      procedure twice(m: Reader = Reader(), ids: i64[t]) {
        s = session(m)
        a = s(ids)
        b = m(ids)
        c = m(ids) + m(ids)
        other = session(m)
        d = other(ids)
        return { a: a, b: b, c: c, d: d }
      }";
    let (_folder, model) = file(&format!("{READER}{procedures}"));
    let (program, _) = girih::source::load(Path::new(&model)).unwrap();
    let read = Arc::new(AtomicUsize::new(0));
    let backend = Counting(Arc::clone(&read));
    let set = [(
        "ids".to_owned(),
        Static::List(vec![Static::Int(1), Static::Int(2)]),
    )];
    let setup = Setup {
        program: &program,
        name: Some("twice"),
        backend: &backend,
        weights: &BTreeMap::new(),
        params: &BTreeMap::new(),
        set: &set,
        seed: 0,
        colors: Colors::No,
        tokenizer: None,
    };
    let ready = Ready::new(&setup).unwrap();
    let mut around = Around {
        emit: &mut |_, _| Ok(()),
        wait: &mut || Ok(None),
        progress: &mut silent,
        limit: Bindings::LIMIT,
    };
    let (ty, own) = ready.run(&BTreeMap::new(), &mut around).unwrap().unwrap();
    let own = json(&own, &ty).unwrap();
    close(&own["a"], &own["b"]);
    close(&own["a"], &own["d"]);
    assert_eq!(
        read.load(Ordering::Relaxed),
        1,
        "the model has one parameter"
    );
}

#[test]
fn weights_say_what_a_model_is() {
    let model = paper("28-re-reading");
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/conformance/llama");
    let answers = weights::open(&data.join("io.safetensors")).unwrap();
    let ids = answers.tensor("input_ids").unwrap();
    let logits = answers.tensor("logits").unwrap();
    // The whole of the first prompt, read in three parts.
    let row = ids.slice(0, 0..1).unwrap().to_i64_vec();
    let (first, rest) = row.split_at(3);
    let (second, third) = rest.split_at(2);
    let vocab = *logits.shape().last().unwrap();
    let theirs = logits.to_f64_vec();
    let theirs = &theirs[(row.len() - 1) * vocab..row.len() * vocab];
    let place = data.to_str().unwrap();
    let parts = [
        format!("question={first:?}"),
        format!("again={second:?}"),
        format!("ask={third:?}"),
    ];
    for (backend, given) in NAMES
        .iter()
        .flat_map(|own| [(own, place.to_owned()), (own, format!("m={place}"))])
    {
        let mut line = vec![
            "--weights",
            given.as_str(),
            "--set",
            "readings=1",
            "--set",
            "samples=1",
        ];
        // One reading: the question, then what asks, which is the rest of the prompt here.
        let ask = format!("ask={:?}", [second, third].concat());
        line.extend(["--set", &parts[0], "--set", &ask]);
        let (_, own) = told(&model, "re_read", backend, &line);
        close(&own["logits"], &value!(theirs));
    }
    let line = [
        "run",
        &model,
        "--procedure",
        "re_read",
        "--weights",
        "x=nowhere",
    ];
    let (status, _, err) = girih("", &line);
    assert!(status != 0 && err.contains("nowhere"), "{err}");
}
