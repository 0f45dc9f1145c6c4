//! A loop as one kernel that goes through all its steps.
//!
//! Every block has a range of the axis that the loop may be cut along, goes through all steps alone
//! and waits for its own threads between launches of the body. What is carried and what the body
//! makes for itself lies in memory of the block. Bodies of kernels and small products only; whatever
//! else is in a body, and products that are too much for a block, make the host walk the loop.

mod size;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use girih_graph::{DType, Extent};
use girih_plan::plan::{
    BufferId, BufferKind, KernelLaunch, RecurrenceLaunch, Section, Tensor, TensorId, Work,
};

use super::contract::{self, Product};
use super::kernel::{self, Function};
use super::sizes::Sizes;
use super::types::{constant, stored};
use super::{Argument, Blocks, Builder, Choice, Code, Launch, Refusal, THREADS, copy, lines};

/// Multiplications of a block's products in one step: past this, all blocks should share them.
const MOST_PRODUCTS: i64 = 1 << 18;

/// Elements of a table in a body.
const MOST_NUMBERS: usize = 1 << 12;

/// Scratch pieces start at multiples of this.
const ALIGN: i64 = 256;

/// A recurrence while its kernel is written.
struct Walk<'a, 'b> {
    launch: &'a RecurrenceLaunch,
    name: String,
    /// Functions of the body, by what they do.
    functions: String,
    written: BTreeMap<usize, Function>,
    sizes: Sizes,
    locals: Vec<(Arc<str>, String)>,
    /// Positions of the part axis in a block.
    length: Extent,
    /// Bytes of a block's memory.
    area: Extent,
    /// The number of the first launch of a kernel in the body.
    first: i64,
    builder: &'b mut Builder<'a>,
}

impl<'a> Builder<'a> {
    pub(super) fn recurrence(&mut self, launch: &'a RecurrenceLaunch) -> Result<(), Refusal> {
        let name = self.name("recurrence");
        let locals = launch.part.iter();
        let locals = locals.map(|part| (Arc::clone(&part.symbol), "part".to_owned()));
        let locals: Vec<(Arc<str>, String)> = locals.collect();
        let first = self.program.counted;
        let walk = Walk {
            launch,
            name,
            functions: String::new(),
            written: BTreeMap::new(),
            sizes: Sizes::new(&locals),
            length: size::length(self.section, launch)?,
            locals,
            area: Extent::constant(0),
            first,
            builder: self,
        };
        let written = walk.write();
        if written.is_err() {
            self.program.counted = first;
        }
        written
    }
}

impl<'a> Walk<'a, '_> {
    fn body(&self) -> &'a Section {
        &self.launch.body
    }

    fn outer(&self, tensor: TensorId) -> &'a Tensor {
        &self.builder.section.tensors[tensor.index()]
    }

    fn inner(&self, tensor: TensorId) -> &'a Tensor {
        &self.body().tensors[tensor.index()]
    }

    fn write(mut self) -> Result<(), Refusal> {
        let launch = self.launch;
        let body = self.body();
        let mut head = Code::at(1);
        match &launch.part {
            Some(part) => {
                let (extent, length) = (
                    self.sizes.text(&part.extent)?,
                    self.sizes.text(&self.length.clone())?,
                );
                head.line(format!("const i64 start = blockIdx.x * (i64){length};"));
                head.line(format!(
                    "const i64 part = start + {length} < {extent} ? {length} : {extent} - start;"
                ));
            }
            None => head.line("const i64 start = 0;"),
        }
        let mut step = Code::at(2);
        let mut tail = Code::at(1);
        let place = if launch.reverse {
            "steps - 1 - step"
        } else {
            "step"
        };
        step.line(format!("const i64 at = {place};"));
        // Who has a buffer of the body: the first that is named.
        let mut owned: Vec<bool> = vec![false; body.buffers.len()];
        let mut take = |tensor: TensorId| {
            let buffer = body.tensors[tensor.index()].buffer.index();
            !std::mem::replace(&mut owned[buffer], true)
        };
        let mut swaps = Vec::new();
        let mut after = Vec::new();
        for (at, initial) in launch.carried.iter().enumerate() {
            let param = body.params[at];
            take(param);
            let (from, to) = (self.outer(*initial), self.inner(param));
            let ty = stored(to.dtype);
            let bytes = size::reach(to).times(&Extent::constant(to.dtype.size() as i64));
            let now = self.piece(&bytes)?;
            head.line(format!("{ty}* now{at} = ({ty}*){now};"));
            let source = self.pointer(from, initial_name(at, "initial"))?;
            let copied = self.copy(
                &format!("initial{at}"),
                from,
                to,
                [&source, &format!("now{at}")],
            )?;
            head.line(copied);
            step.line(format!("{ty}* {} = now{at};", buffer(to.buffer)));
        }
        for (at, (sequence, distance)) in launch.sequences.iter().enumerate() {
            let param = body.params[launch.carried.len() + at];
            take(param);
            let source = self.pointer(self.outer(*sequence), initial_name(at, "sequence"))?;
            let distance = self.sizes.text(distance)?;
            let (ty, own) = (
                stored(self.inner(param).dtype),
                buffer(self.inner(param).buffer),
            );
            step.line(format!("const {ty}* {own} = {source} + at * {distance};"));
        }
        for (at, invariant) in launch.invariants.iter().enumerate() {
            let param = body.params[launch.carried.len() + launch.sequences.len() + at];
            take(param);
            let source = self.pointer(self.outer(*invariant), initial_name(at, "invariant"))?;
            let (ty, own) = (
                stored(self.inner(param).dtype),
                buffer(self.inner(param).buffer),
            );
            head.line(format!("const {ty}* {own} = {source};"));
        }
        let is_bound =
            |tensor: &Tensor| matches!(body.buffers[tensor.buffer.index()].kind, BufferKind::Bound);
        for at in 0..launch.carried.len() {
            let (result, param) = (body.results[at], body.params[at]);
            let next = self.inner(result);
            let direct = is_bound(next) && take(result);
            let ty = stored(next.dtype);
            if direct && launch.in_place[at] {
                step.line(format!("{ty}* {} = now{at};", buffer(next.buffer)));
                continue;
            }
            let to = self.inner(param);
            let bytes = size::reach(to).times(&Extent::constant(to.dtype.size() as i64));
            let place = self.piece(&bytes)?;
            head.line(format!("{ty}* next{at} = ({ty}*){place};"));
            if direct {
                step.line(format!("{ty}* {} = next{at};", buffer(next.buffer)));
            } else {
                let copied = self.copy(
                    &format!("next{at}"),
                    next,
                    to,
                    [&buffer(next.buffer), &format!("next{at}")],
                )?;
                after.push(copied);
            }
            swaps.push(format!(
                "{ty}* last{at} = now{at};\nnow{at} = next{at};\nnext{at} = last{at};"
            ));
        }
        for (at, (output, distance)) in launch.outputs.iter().enumerate() {
            let result = self.inner(body.results[launch.carried.len() + at]);
            let direct = is_bound(result) && take(body.results[launch.carried.len() + at]);
            let whole = self.outer(*output);
            let target = self.pointer(whole, initial_name(at, "output"))?;
            let distance = self.sizes.text(distance)?;
            let (ty, own) = (stored(result.dtype), buffer(result.buffer));
            if direct {
                step.line(format!("{ty}* {own} = {target} + at * {distance};"));
                continue;
            }
            let mut part = self.narrowed(whole);
            part.axes
                .retain(|(axis, _)| result.axes.iter().any(|(own, _)| own == axis));
            step.line(format!("{ty}* output{at} = {target} + at * {distance};"));
            after.push(self.copy(
                &format!("output{at}"),
                result,
                &part,
                [&own, &format!("output{at}")],
            )?);
        }
        for (at, own) in body.buffers.iter().enumerate() {
            let id = BufferId(at as u32);
            let (ty, name) = (stored(own.dtype), buffer(id));
            match &own.kind {
                BufferKind::Temporary => {
                    let bytes = own
                        .elements
                        .times(&Extent::constant(own.dtype.size() as i64));
                    let place = self.piece(&bytes)?;
                    head.line(format!("{ty}* {name} = ({ty}*){place};"));
                }
                BufferKind::Table(numbers) => {
                    let table = self.table(at, own.dtype, numbers)?;
                    head.line(format!("const {ty}* {name} = {table};"));
                }
                BufferKind::Bound if owned[at] => {}
                BufferKind::Bound | BufferKind::Caller | BufferKind::Grown => {
                    return Err(Refusal::new("a buffer of the loop's body that nobody has"));
                }
            }
        }
        for own in &body.launches {
            let call = match &own.work {
                Work::Kernel(launch) => self.kernel(launch)?,
                Work::Contract(launch) => self.product(launch)?,
                Work::Attention(_) => return Err(Refusal::new("attention inside of a loop")),
                Work::Recurrence(_) => return Err(Refusal::new("a loop inside of a loop")),
                Work::Routine(_) => return Err(Refusal::new("a routine inside of a loop")),
                Work::Route(_) | Work::Native(_) => {
                    return Err(Refusal::new("a route inside of a loop"));
                }
            };
            step.line(format!("{call}\n__syncthreads();"));
        }
        for call in after {
            step.line(format!("{call}\n__syncthreads();"));
        }
        for swap in swaps {
            step.line(swap);
        }
        for (at, last) in launch.finals.iter().enumerate() {
            if let Some(last) = last {
                let (from, to) = (
                    self.inner(body.params[at]),
                    self.narrowed(self.outer(*last)),
                );
                let target = self.pointer(self.outer(*last), initial_name(at, "final"))?;
                let call = self.copy(
                    &format!("final{at}"),
                    from,
                    &to,
                    [&format!("now{at}"), &target],
                )?;
                tail.line(call);
            }
        }
        self.entry(&head, &step, &tail)
    }

    /// The entry, and its launch.
    fn entry(mut self, head: &Code, step: &Code, tail: &Code) -> Result<(), Refusal> {
        let launch = self.launch;
        let steps = self.sizes.text(&launch.extent)?;
        let area = self.sizes.text(&self.area.clone())?;
        let mut parameters = "Failure* failure, i64 launch, char* scratch".to_owned();
        let scratch = self.builder.program.scratch.len();
        let mut arguments = vec![
            Argument::Failure,
            Argument::Launch(self.first),
            Argument::Scratch(scratch),
        ];
        let mut tensor = |what: &str, at: usize, tensor: TensorId, written: bool, own: &Self| {
            let tensor = own.outer(tensor);
            let qualifier = if written { "" } else { "const " };
            let _ = write!(
                parameters,
                ", {qualifier}{}* {}",
                stored(tensor.dtype),
                initial_name(at, what)
            );
            arguments.push(Argument::Buffer(tensor.buffer));
        };
        for (at, own) in launch.carried.iter().enumerate() {
            tensor("initial", at, *own, false, &self);
        }
        for (at, (own, _)) in launch.sequences.iter().enumerate() {
            tensor("sequence", at, *own, false, &self);
        }
        for (at, own) in launch.invariants.iter().enumerate() {
            tensor("invariant", at, *own, false, &self);
        }
        for (at, (own, _)) in launch.outputs.iter().enumerate() {
            tensor("output", at, *own, true, &self);
        }
        for (at, own) in launch.finals.iter().enumerate() {
            if let Some(own) = own {
                tensor("final", at, *own, true, &self);
            }
        }
        arguments.extend(self.sizes.iter().cloned().map(Argument::Size));
        let mut code = Code::default();
        code.text.push_str(&self.functions);
        code.text.push_str(&self.sizes.comment());
        code.open(format!(
            "extern \"C\" __global__ void __launch_bounds__({THREADS}) {}({parameters}{})",
            self.name,
            self.sizes.parameters()
        ));
        code.line(format!("const i64 steps = {steps};"));
        code.line(format!(
            "char* const own = scratch + blockIdx.x * (i64){area};"
        ));
        code.text.push_str(&head.text);
        code.line("__syncthreads();");
        code.open("for (i64 step = 0; step < steps; ++step)");
        code.text.push_str(&step.text);
        code.close();
        code.text.push_str(&tail.text);
        code.close();
        code.line("\n");
        self.builder.program.text.push_str(&code.text);
        let blocks = match &launch.part {
            Some(part) => part.extent.ceil_div(&self.length),
            None => Extent::constant(1),
        };
        self.builder.program.scratch.push(self.area.times(&blocks));
        let choice = Choice {
            when: None,
            entry: self.builder.entry(&self.name, true),
            arguments,
            blocks: Blocks {
                x: vec![(blocks, 1)],
                per: 1,
                y: Vec::new(),
            },
        };
        self.builder.program.launches.push(Launch::of(vec![choice]));
        Ok(())
    }

    /// Memory of the block for so many bytes.
    fn piece(&mut self, bytes: &Extent) -> Result<String, Refusal> {
        let length = self.length.clone();
        let bytes = bytes.substitute(&|symbol| {
            let part = self.launch.part.as_ref()?;
            (*part.symbol == *symbol).then(|| length.clone())
        });
        let place = self.sizes.text(&self.area.clone())?;
        let align = Extent::constant(ALIGN);
        self.area = self.area.plus(&bytes.ceil_div(&align).times(&align));
        Ok(format!("(own + {place})"))
    }

    /// Where the block's part of an outer tensor starts.
    fn pointer(&mut self, tensor: &Tensor, name: String) -> Result<String, Refusal> {
        let mut terms = vec![name];
        if tensor.offset.as_constant() != Some(0) {
            terms.push(self.sizes.text(&tensor.offset)?);
        }
        if let Some(part) = &self.launch.part {
            let step = lines::step(tensor, part.axis);
            if step.as_constant() != Some(0) {
                terms.push(format!("start * {}", self.sizes.text(&step)?));
            }
        }
        Ok(match terms.as_slice() {
            [one] => one.clone(),
            _ => format!("({})", terms.join(" + ")),
        })
    }

    /// An outer tensor with the positions that the block has.
    fn narrowed(&self, tensor: &Tensor) -> Tensor {
        let mut tensor = tensor.clone();
        if let Some(part) = &self.launch.part {
            for (axis, stride) in &mut tensor.axes {
                if *axis == part.axis {
                    stride.extent = Extent::symbol(&part.symbol);
                }
            }
        }
        tensor
    }

    /// A call that copies what one tensor sees to where another one sees it.
    fn copy(
        &mut self,
        name: &str,
        from: &Tensor,
        to: &Tensor,
        [source, target]: [&str; 2],
    ) -> Result<String, Refusal> {
        let to = self.narrowed(to);
        let name = format!("{}_copy_{name}", self.name);
        let function = kernel::function(&name, &copy::kernel(from, &to), &self.locals)?;
        self.functions.push_str(&function.text);
        self.call(&function, 0, &[source.to_owned(), target.to_owned()])
    }

    /// A call of a function that the block runs alone.
    fn call(
        &mut self,
        function: &Function,
        launch: i64,
        buffers: &[String],
    ) -> Result<String, Refusal> {
        let (first, step) = function.range_of_block();
        let mut call = format!(
            "{}({first}, {step}, Guard{{failure, launch + {launch}}}",
            function.name
        );
        for own in buffers {
            let _ = write!(call, ", {own}");
        }
        for size in function.sizes.clone().iter() {
            let _ = write!(call, ", {}", self.sizes.text(size)?);
        }
        for (_, variable) in &self.locals {
            let _ = write!(call, ", {variable}");
        }
        Ok(format!("{call});"))
    }

    fn kernel(&mut self, launch: &KernelLaunch) -> Result<String, Refusal> {
        let number = self.builder.program.counted - self.first;
        self.builder.program.counted += 1;
        if !self.written.contains_key(&launch.kernel) {
            let name = format!("{}_kernel{}", self.name, launch.kernel);
            let kernel = &self.builder.kernels[launch.kernel];
            let function = kernel::function(&name, kernel, &self.locals)?;
            self.functions.push_str(&function.text);
            self.written.insert(launch.kernel, function);
        }
        let function = self.written[&launch.kernel].clone();
        let buffers: Vec<String> = launch.buffers.iter().map(|own| buffer(*own)).collect();
        self.call(&function, number, &buffers)
    }

    fn product(&mut self, launch: &girih_plan::plan::Contract) -> Result<String, Refusal> {
        let product = Product::new(self.body(), launch)?;
        let length = self.length.clone();
        let cost = contract::cost(&product).substitute(&|symbol| {
            let part = self.launch.part.as_ref()?;
            (*part.symbol == *symbol).then(|| length.clone())
        });
        let small = Extent::constant(MOST_PRODUCTS).minus(&cost).is_at_least(0);
        if !small {
            return Err(Refusal::new(format!(
                "a product of {cost} multiplications inside of a loop is too much for a block"
            )));
        }
        let name = format!("{}_product{}", self.name, self.functions.len());
        let made = contract::small(&name, &product, &self.locals)?;
        self.functions.push_str(&made.text);
        let per = THREADS / made.team;
        let first = if made.team == 1 {
            "threadIdx.x".to_owned()
        } else {
            format!("threadIdx.x / {}", made.team)
        };
        let mut call = format!("{name}({first}, {per}");
        for own in made.buffers {
            let _ = write!(call, ", {}", buffer(own));
        }
        for size in made.sizes.iter() {
            let _ = write!(call, ", {}", self.sizes.text(size)?);
        }
        for (_, variable) in &self.locals {
            let _ = write!(call, ", {variable}");
        }
        Ok(format!("{call});"))
    }

    /// Numbers of the model as an array.
    fn table(&mut self, at: usize, dtype: DType, numbers: &[f64]) -> Result<String, Refusal> {
        if numbers.len() > MOST_NUMBERS || matches!(dtype, DType::F16 | DType::BF16) {
            return Err(Refusal::new("a long table inside of a loop"));
        }
        let name = format!("{}_table{at}", self.name);
        let own = numbers.iter().map(|number| {
            if dtype.is_real() {
                constant(dtype, girih_plan::kernel::Constant::Real(number.to_bits()))
            } else {
                constant(dtype, girih_plan::kernel::Constant::Int(*number as i64))
            }
        });
        let own: Vec<String> = own.collect();
        let _ = writeln!(
            self.functions,
            "static __device__ const {} {name}[] = {{{}}};\n",
            stored(dtype),
            if own.is_empty() {
                "0".to_owned()
            } else {
                own.join(", ")
            }
        );
        Ok(name)
    }
}

/// The variable of a buffer of the body.
fn buffer(id: BufferId) -> String {
    format!("b{}", id.0)
}

/// The parameter of an outer tensor.
fn initial_name(at: usize, what: &str) -> String {
    format!("{what}{at}")
}
