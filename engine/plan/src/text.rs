//! The text of a plan: what snapshots hold and `girih graph --stage plan` prints.
//!
//! Launches in order, with what they read and write; kernels once, numbered in
//! the order of their first launch. Tensors print by number with their axes.

use std::fmt::{self, Write as _};

use crate::kernel::{Access, Affine, Constant, Kernel, LoopKind, StepOp};
use crate::plan::{
    Attention, BufferId, BufferKind, Contract, GivenKind, KernelLaunch, Launch, Plan,
    RecurrenceLaunch, RouteLaunch, Routine, Section, TensorId, Work,
};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan {}", self.name)?;
        for given in &self.given {
            let kind = match given.kind {
                GivenKind::Input => "input",
                GivenKind::Param => "param",
                GivenKind::State => "state",
            };
            let tensor = self.tensor(&self.root, given.tensor);
            writeln!(f, "  {kind} {} {tensor}", given.name)?;
        }
        self.section(f, &self.root, 1)?;
        for outcome in &self.results {
            let kind = if outcome.state { "next" } else { "result" };
            let tensor = self.tensor(&self.root, outcome.tensor);
            writeln!(f, "  {kind} {} {tensor}", outcome.name)?;
        }
        for (number, kernel) in self.kernels.iter().enumerate() {
            write!(f, "\nkernel {number}\n{kernel}")?;
        }
        Ok(())
    }
}

impl Plan {
    fn tensor(&self, section: &Section, id: TensorId) -> String {
        let tensor = &section.tensors[id.index()];
        let mut text = format!("m{}", tensor.buffer.0);
        let zero = girih_graph::Extent::constant(0);
        if tensor.offset != zero {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "+({})", tensor.offset);
        }
        let axes: Vec<String> = tensor
            .axes
            .iter()
            .map(|(axis, stride)| {
                let name = self.axes.name(*axis);
                if stride.extent.as_symbol() == Some(name) {
                    name.to_owned()
                } else {
                    format!("{name}={}", stride.extent)
                }
            })
            .collect();
        let _ = write!(text, ": {}[{}]", tensor.dtype, axes.join(", "));
        text
    }

    fn section(&self, f: &mut fmt::Formatter<'_>, section: &Section, depth: usize) -> fmt::Result {
        for launch in &section.launches {
            self.launch(f, section, launch, depth)?;
        }
        Ok(())
    }

    fn launch(
        &self,
        f: &mut fmt::Formatter<'_>,
        section: &Section,
        launch: &Launch,
        depth: usize,
    ) -> fmt::Result {
        let pad = "  ".repeat(depth);
        let tensor = |id: TensorId| self.tensor(section, id);
        match &launch.work {
            Work::Kernel(kernel) => write!(f, "{pad}{}", kernel_line(kernel, section))?,
            Work::Contract(Contract {
                left,
                right,
                out,
                inner,
                ..
            }) => {
                let over: Vec<&str> = inner.iter().map(|axis| self.axes.name(*axis)).collect();
                let (left, right, out) = (tensor(*left), tensor(*right), tensor(*out));
                write!(
                    f,
                    "{pad}{out} = contract {left} · {right} over {}",
                    over.join(", ")
                )?;
            }
            Work::Attention(attention) => {
                let Attention { q, k, v, out, .. } = &**attention;
                let [q, k, v, out] = [q, k, v, out].map(|id| tensor(*id));
                write!(f, "{pad}{out} = attention {q}, {k}, {v}")?;
                if let Some(kernel) = &attention.interior {
                    write!(f, " scores by kernel {}", kernel.kernel)?;
                }
                if let Some(kernel) = &attention.mask {
                    write!(f, " tiles looked at by kernel {}", kernel.kernel)?;
                }
                if let Some(kernel) = &attention.edge {
                    write!(f, " edges by kernel {}", kernel.kernel)?;
                }
            }
            Work::Recurrence(launch) => return self.recurrence(f, section, launch, depth),
            Work::Route(route) => return self.route(f, section, route, depth),
            Work::Native(launch) => {
                let list = |tensors: &[(TensorId, _)]| {
                    let shown: Vec<String> = tensors.iter().map(|(id, _)| tensor(*id)).collect();
                    shown.join(", ")
                };
                let (reads, writes) = (list(&launch.reads), list(&launch.writes));
                write!(f, "{pad}{writes} = {} {reads}", launch.callee)?;
            }
            Work::Routine(routine) => {
                let (reads, out) = routine.tensors();
                let reads: Vec<String> = reads.into_iter().map(tensor).collect();
                let name = match routine {
                    Routine::Order { .. } => "order",
                    Routine::Cumulate { .. } => "cumulate",
                    Routine::Scatter { .. } => "scatter",
                    Routine::Fold { .. } => "fold",
                    Routine::Random { .. } => "random",
                };
                write!(f, "{pad}{} = {name} {}", tensor(out), reads.join(", "))?;
            }
        }
        if !launch.label.is_empty() {
            write!(f, "  # {}", launch.label)?;
        }
        writeln!(f)
    }

    fn recurrence(
        &self,
        f: &mut fmt::Formatter<'_>,
        section: &Section,
        launch: &RecurrenceLaunch,
        depth: usize,
    ) -> fmt::Result {
        let pad = "  ".repeat(depth);
        let tensor = |id: &TensorId| self.tensor(section, *id);
        let reverse = if launch.reverse { "reverse " } else { "" };
        writeln!(
            f,
            "{pad}recurrence {reverse}over {}={}",
            launch.axis, launch.extent
        )?;
        for initial in &launch.carried {
            writeln!(f, "{pad}  carries {}", tensor(initial))?;
        }
        for (read, _) in &launch.sequences {
            writeln!(f, "{pad}  slices {}", tensor(read))?;
        }
        self.section(f, &launch.body, depth + 2)?;
        for (written, _) in &launch.outputs {
            writeln!(f, "{pad}  stacks {}", tensor(written))?;
        }
        Ok(())
    }

    fn route(
        &self,
        f: &mut fmt::Formatter<'_>,
        section: &Section,
        route: &RouteLaunch,
        depth: usize,
    ) -> fmt::Result {
        let pad = "  ".repeat(depth);
        let out = self.tensor(section, route.out);
        writeln!(f, "{pad}{out} = route {}", self.axes.name(route.branch))?;
        for (number, branch) in route.branches.iter().enumerate() {
            writeln!(f, "{pad}  branch {number}")?;
            self.section(f, &branch.section, depth + 2)?;
        }
        Ok(())
    }
}

fn kernel_line(launch: &KernelLaunch, section: &Section) -> String {
    let mut reads = Vec::new();
    let mut writes = Vec::new();
    for (BufferId(buffer), written) in launch.buffers.iter().zip(&launch.writes) {
        let kept = &section.buffers[*buffer as usize].kind;
        let name = match kept {
            BufferKind::Table(_) => format!("table m{buffer}"),
            _ => format!("m{buffer}"),
        };
        if *written {
            writes.push(name);
        } else {
            reads.push(name);
        }
    }
    format!(
        "{} = kernel {} [{}] {}",
        writes.join(", "),
        launch.kernel,
        launch.loops.join(", "),
        reads.join(", ")
    )
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, own) in self.loops.iter().enumerate() {
            let kind = match own.kind {
                LoopKind::Outer => "outer",
                LoopKind::Walk => "walk",
                LoopKind::Inner => "inner",
            };
            writeln!(f, "  {kind} i{id} < {}", own.extent)?;
        }
        for (id, step) in self.steps.iter().enumerate() {
            write!(f, "  %{id}: {} = ", step.dtype)?;
            match &step.op {
                StepOp::Load(access) => write!(f, "load {access}")?,
                StepOp::Position(affine) => write!(f, "position {affine}")?,
                StepOp::Constant(constant) => match constant {
                    Constant::Real(bits) => write!(f, "{:?}", f64::from_bits(*bits))?,
                    Constant::Int(value) => write!(f, "{value}")?,
                    Constant::Bool(value) => write!(f, "{value}")?,
                },
                StepOp::Size(size) => write!(f, "size {size}")?,
                StepOp::Unary(op, x) => write!(f, "{} %{x}", op.word())?,
                StepOp::Binary(op, x, y) => write!(f, "{} %{x}, %{y}", op.word())?,
                StepOp::Select(c, x, y) => write!(f, "select %{c}, %{x}, %{y}")?,
                StepOp::Cast(x) => write!(f, "cast %{x}")?,
                StepOp::Reduce(combine, x, kind) => {
                    let over = if *kind == LoopKind::Walk {
                        "walk"
                    } else {
                        "inner"
                    };
                    write!(f, "{} %{x} over {over}", combine.word())?;
                }
            }
            writeln!(f)?;
        }
        for store in &self.stores {
            writeln!(f, "  store {} = %{}", store.access, store.step)?;
        }
        Ok(())
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}[{}]", self.buffer, self.address)?;
        for guard in &self.guards {
            write!(f, " where 0 <= {} < {}", guard.index, guard.extent)?;
        }
        Ok(())
    }
}

impl fmt::Display for Affine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut terms = Vec::new();
        let one = girih_graph::Extent::constant(1);
        let mut term = |name: String, factor: &girih_graph::Extent| {
            terms.push(if *factor == one {
                name
            } else {
                format!("({factor})*{name}")
            });
        };
        for (id, factor) in &self.loops {
            term(format!("i{id}"), factor);
        }
        for (id, factor) in &self.steps {
            term(format!("%{id}"), factor);
        }
        if terms.is_empty() || self.offset.as_constant() != Some(0) {
            terms.push(self.offset.to_string());
        }
        f.write_str(&terms.join(" + "))
    }
}
