//! Graph to plan: which values are computed together, and where they lie.
//!
//! Values are visited from the last to the first. A value that must be in
//! memory – a result, or an operand of something that reads memory – is the
//! root of a kernel, which grows towards its operands: cheap values are
//! computed wherever they are read, values that are used several times are
//! computed once, in the kernel if it reads them point by point and nothing
//! that it waits for waits for them (`grow`). Views never move data unless they
//! must. What has a launch of its own – matrix products, loops, routes, a few
//! routines – asks for its operands in memory.
//!
//! Guarantees: every launch stands after those that write what it reads; every
//! element of a result is written; kernels are as [`crate::kernel`] says.

mod attention;
mod coalesce;
mod contract;
mod emit;
mod grow;
mod growth;
mod join;
mod memory;
mod order;
pub(crate) mod part;
mod region;
mod value;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use girih_graph::op::Op;
use girih_graph::{AxisId, AxisTable, Definition, Extent, Graph, Origin, Region, ValueType};

use crate::chunk::{How, chunk_for};
use crate::kernel::Kernel;
use crate::plan::{
    BufferKind, Given, GivenKind, Launch, Outcome, Plan, Section, Stop, TensorId, Work,
};
use crate::promise::{self, Watch};
use crate::simplify_all;
use value::{Form, ValueIx, Values};

/// What a backend asks of plans. By default nothing: every backend takes such a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Products of matrices whose factors both have the same 16 bits read them as they are, and give `f32`;
    /// else such factors are widened first. [`widen_factors`](crate::widen_factors) undoes it.
    pub narrow_factors: bool,
    /// Loops go in chunks of their steps where that is less work, although their states would stay in the cache of
    /// a core: for machines whose many cores do not go through a loop each.
    pub far_states: bool,
}

impl Wants {
    /// What devices of plugins ask for.
    pub const DEVICE: Self = Self {
        narrow_factors: true,
        far_states: true,
    };
}

/// The plan of a graph for any backend. The graph should be simplified, and its calls settled
/// ([`settle_calls`](crate::settle_calls)). Loops that are faster in chunks or
/// blocks of their steps are computed so.
pub fn lower(graph: &Graph) -> Plan {
    lower_for(graph, Wants::default())
}

/// As [`lower`], for a backend that asks for something.
pub fn lower_for(graph: &Graph, wants: Wants) -> Plan {
    let (chunked, choices) = chunk_for(graph, None, wants);
    let mut plan = if choices.iter().any(|choice| choice.how != How::Steps) {
        lower_as_it_is(&simplify_all(&chunked), wants)
    } else {
        lower_as_it_is(graph, wants)
    };
    plan.broken.extend(promise::stepped(&choices));
    plan.choices = choices;
    plan
}

fn lower_as_it_is(graph: &Graph, wants: Wants) -> Plan {
    let mut shared = Shared {
        axes: &graph.axes,
        wants,
        kernels: Vec::new(),
        by_kernel: HashMap::new(),
        depth: 0,
        watch: Watch::default(),
    };
    let extents = graph.axes.iter().map(|(_, axis)| axis.extent.clone());
    let mut planner = Planner::new(&mut shared, &graph.root, extents.collect());
    let mut given = Vec::new();
    for (_, node) in graph.root.nodes() {
        let (kind, name) = match &node.op {
            Op::Input(name, _) => (GivenKind::Input, name),
            Op::Param(name, _) => (GivenKind::Param, name),
            Op::State(name) => (GivenKind::State, name),
            _ => continue,
        };
        let ty = graph.root.ty(node.results[0]);
        let tensor = planner.dense(ty, BufferKind::Caller);
        planner.put(node.results[0], ty, tensor, kind == GivenKind::Param);
        let initial = (kind == GivenKind::State).then(|| node.operands[0]);
        given.push((kind, name.clone(), tensor, initial));
    }
    planner.add_nodes();
    let initials: Vec<ValueIx> = given
        .iter()
        .filter_map(|(_, _, _, initial)| initial.map(|value| planner.value(value)))
        .collect();
    let mut outcomes = Vec::new();
    let states = graph.updates.iter().map(|path| (true, path.clone()));
    let results = graph
        .results
        .iter()
        .map(|name| (false, Arc::from(name.as_str())));
    let inputs: BTreeSet<TensorId> = given
        .iter()
        .filter(|(kind, ..)| *kind == GivenKind::Input)
        .map(|(_, _, tensor, _)| *tensor)
        .collect();
    let mut wanted = initials.clone();
    wanted.extend(graph.root.results().iter().map(|own| planner.value(*own)));
    for ((state, name), result) in results.chain(states).zip(graph.root.results()) {
        let value = planner.value(*result);
        let continued = planner.continued(value, &inputs, &wanted);
        let tensor = continued.unwrap_or_else(|| {
            let tensor = planner.dense(graph.root.ty(*result), BufferKind::Caller);
            planner.write(value, tensor);
            tensor
        });
        outcomes.push(Outcome {
            state,
            name,
            tensor,
        });
    }
    let initials: Vec<TensorId> = initials.into_iter().map(|v| planner.demand(v)).collect();
    let mut initials = initials.into_iter();
    let given: Vec<Given> = given
        .into_iter()
        .map(|(kind, name, tensor, initial)| Given {
            kind,
            name,
            tensor,
            initial: initial.and_then(|_| initials.next()),
        })
        .collect();
    let mut root = planner.finish();
    // Initial values of states are read after the last launch.
    root.results = outcomes.iter().map(|outcome| outcome.tensor).collect();
    root.results
        .extend(given.iter().filter_map(|given| given.initial));
    let broken = shared.watch.broken(&graph.root);
    let kernels = used(shared.kernels, &mut root);
    Plan {
        name: graph.name.clone(),
        axes: graph.axes.clone(),
        kernels,
        root,
        given,
        results: outcomes,
        checks: graph.checks.clone(),
        choices: Vec::new(),
        broken,
        calls: Vec::new(),
    }
}

/// The kernels that some launch runs, and the launches renumbered.
fn used(kernels: Vec<Kernel>, root: &mut Section) -> Vec<Kernel> {
    let mut places: Vec<Option<usize>> = vec![None; kernels.len()];
    let mut count = 0;
    root.visit_kernels(&mut |kernel| {
        let place = places[*kernel].get_or_insert_with(|| {
            count += 1;
            count - 1
        });
        *kernel = *place;
    });
    let mut ordered: Vec<(usize, Kernel)> = places
        .into_iter()
        .zip(kernels)
        .filter_map(|(place, kernel)| Some((place?, kernel)))
        .collect();
    ordered.sort_by_key(|(place, _)| *place);
    ordered.into_iter().map(|(_, kernel)| kernel).collect()
}

/// What all sections of a plan share.
struct Shared<'g> {
    axes: &'g AxisTable,
    wants: Wants,
    kernels: Vec<Kernel>,
    by_kernel: HashMap<Kernel, usize>,
    /// How many loops and routes lie around what is planned.
    depth: usize,
    watch: Watch,
}

impl Shared<'_> {
    /// A symbol that no model can have, for what is planned inside. Loops beside one another share
    /// it, so that equal ones have equal kernels.
    fn symbol(&self, name: &str) -> Arc<str> {
        Arc::from(format!("#{name}{}", self.depth))
    }

    fn kernel(&mut self, kernel: Kernel) -> usize {
        if cfg!(debug_assertions)
            && let Err(broken) = kernel.check()
        {
            panic!("the planner made a kernel that is wrong: {broken}\n{kernel}");
        }
        if let Some(known) = self.by_kernel.get(&kernel) {
            return *known;
        }
        self.kernels.push(kernel.clone());
        self.by_kernel.insert(kernel, self.kernels.len() - 1);
        self.kernels.len() - 1
    }
}

/// Plans one section.
struct Planner<'s, 'g> {
    shared: &'s mut Shared<'g>,
    region: &'g Region,
    /// The extent of every axis of the graph in this section.
    extents: Vec<Extent>,
    section: Section,
    values: Values,
    users: Vec<Vec<ValueIx>>,
    /// Where a value lies, once somebody asked for it.
    home: BTreeMap<ValueIx, TensorId>,
    /// Copies of values with their axes in another order.
    copies: BTreeMap<(ValueIx, Vec<AxisId>), TensorId>,
    /// Parts of concatenations: which of their axes is the one they lie along.
    sliced: BTreeMap<TensorId, usize>,
    /// Which kernel computes a value for others to read; a position in `groups`.
    group: Vec<Option<usize>>,
    /// What each kernel or launch reads.
    groups: Vec<Vec<ValueIx>>,
    /// Launches with the value they were made for.
    launches: Vec<(ValueIx, Launch)>,
    /// What computing a value where it is read costs.
    cost: Vec<u32>,
    /// Whether a value is computed once: in memory, or in the kernel that has all its users.
    solid: Vec<bool>,
}

impl<'s, 'g> Planner<'s, 'g> {
    fn new(shared: &'s mut Shared<'g>, region: &'g Region, extents: Vec<Extent>) -> Self {
        let values = Values {
            of: vec![None; region.value_count()],
            ..Values::default()
        };
        Self {
            shared,
            region,
            extents,
            section: Section::default(),
            values,
            users: Vec::new(),
            home: BTreeMap::new(),
            copies: BTreeMap::new(),
            sliced: BTreeMap::new(),
            group: Vec::new(),
            groups: Vec::new(),
            launches: Vec::new(),
            cost: Vec::new(),
            solid: Vec::new(),
        }
    }

    fn extent(&self, axis: AxisId) -> Extent {
        self.extents[axis.index()].clone()
    }

    /// Binds a value of the region to a tensor, which may be a parameter.
    fn put(&mut self, value: girih_graph::ValueId, ty: &ValueType, tensor: TensorId, stored: bool) {
        let node = match self.region.definition(value) {
            Definition::Parameter(_) => None,
            Definition::Result(node, _) => Some(node),
        };
        let ix = self
            .values
            .push(ty.clone(), Form::Given(tensor), Vec::new(), node);
        if stored {
            self.values.stored.insert(ix);
        }
        self.values.bind(value, ix);
    }

    fn value(&self, value: girih_graph::ValueId) -> ValueIx {
        self.values.of[value.index()].expect("every value of the region was added")
    }

    /// Adds the region's nodes and measures them.
    fn add_nodes(&mut self) {
        let extents = self.extents.clone();
        let extent = |axis: AxisId| extents[axis.index()].clone();
        let region = self.region;
        let mut values = std::mem::take(&mut self.values);
        for (id, _) in region.nodes() {
            values.add(region, id, &extent, &mut |ty, data| self.table(ty, data));
        }
        self.values = values;
        self.users = self.values.users();
        self.group = vec![None; self.values.all.len()];
        self.measure();
    }

    fn measure(&mut self) {
        for (ix, value) in self.values.all.iter().enumerate() {
            let own = match &value.form {
                Form::Given(_)
                | Form::Contract(_)
                | Form::Concat(..)
                | Form::Launched(..)
                | Form::Select
                | Form::Cast
                | Form::Reduce(..) => 1,
                Form::Unary(op) => grow::unary_cost(*op),
                Form::Binary(op) => grow::binary_cost(*op),
                Form::Constant(_) | Form::Position(_) | Form::Size(_) | Form::View(_) => 0,
                Form::Gather(..) => 4,
            };
            let pulled = value.operands.iter().map(|operand| {
                let fused = self.values.all[*operand].form.is_pointwise()
                    || matches!(self.values.all[*operand].form, Form::View(_));
                if fused && !self.solid[*operand] {
                    self.cost[*operand]
                } else {
                    1
                }
            });
            let inline = value.form.is_pointwise() || matches!(value.form, Form::View(_));
            let cost = if inline {
                pulled.fold(own, u32::saturating_add)
            } else {
                own
            };
            let uses = self.users[ix].len();
            let solid = match &value.form {
                Form::Reduce(..) => true,
                form => form.is_pointwise() && uses > 1 && cost > grow::CHEAP,
            };
            self.cost.push(cost);
            self.solid.push(solid);
        }
    }

    /// Plans everything that was asked for.
    fn finish(mut self) -> Section {
        for ix in (0..self.values.all.len()).rev() {
            let Some(home) = self.home.get(&ix).copied() else {
                continue;
            };
            match self.values.all[ix].form.clone() {
                Form::Given(_) => {}
                Form::Contract(product) => self.contract(ix, &product, home),
                Form::Concat(from, axis) => self.concat(ix, &from, axis, home),
                Form::Launched(node, _) => self.launched(ix, node),
                _ if self.group[ix].is_some() => {}
                _ => self.kernel(ix, home),
            }
        }
        let launches = std::mem::take(&mut self.launches);
        let launches = order::sorted(launches, &self.section.tensors);
        self.section.launches = join::joined(launches, self.shared);
        self.section
    }

    fn contract(&mut self, ix: ValueIx, product: &contract::Product, out: TensorId) {
        if self.attention(ix, product, out) {
            return;
        }
        let factors = self.factors(ix);
        let work = crate::plan::Contract {
            left: self.demand(factors[0]),
            right: self.demand(factors[1]),
            out,
            batch: product.batch.clone(),
            rows: product.rows.clone(),
            columns: product.columns.clone(),
            inner: product.inner.clone(),
        };
        self.launch(ix, Work::Contract(work), factors.to_vec(), Vec::new());
    }

    /// What a product reads: its operands, or the values of 16 bits that both are widened from.
    fn factors(&self, ix: ValueIx) -> [ValueIx; 2] {
        let operands = &self.values.all[ix].operands;
        let wide = [operands[0], operands[1]];
        let narrow = wide.map(|factor| self.values.all[factor].widened(&self.values.all));
        match narrow {
            [Some(left), Some(right)]
                if self.shared.wants.narrow_factors
                    && self.values.ty(left).dtype == self.values.ty(right).dtype =>
            {
                [left, right]
            }
            _ => wide,
        }
    }

    fn concat(&mut self, ix: ValueIx, from: &[AxisId], axis: AxisId, home: TensorId) {
        let operands = self.values.all[ix].operands.clone();
        let mut start = Extent::constant(0);
        for (operand, along) in operands.iter().zip(from) {
            if self.lies_in(*operand, home) {
                start = start.plus(&self.extent(*along));
                continue;
            }
            let part = self.slice(home, axis, *along, &start);
            start = start.plus(&self.extent(*along));
            let once = operands.iter().filter(|own| *own == operand).count() == 1;
            if self.users[*operand] != [ix] || !once {
                // Whoever reads it elsewhere would wait for the other parts.
                self.demand(*operand);
            }
            self.write(*operand, part);
        }
        // Readers of the whole wait for all parts: buffers tell.
        self.groups.push(operands);
        self.group[ix] = Some(self.groups.len() - 1);
    }

    /// Adds a launch made for `ix`, which reads `reads`.
    fn launch(&mut self, ix: ValueIx, work: Work, reads: Vec<ValueIx>, stops: Vec<Stop>) {
        self.groups.push(reads);
        self.group[ix] = Some(self.groups.len() - 1);
        let origin = self.origin(ix);
        self.shared.watch.launched(origin, &stops);
        let label = self.label(ix);
        self.launches.push((ix, Launch { work, label, stops }));
    }

    /// A value for people: what makes it, and where.
    fn describe(&self, ix: ValueIx) -> String {
        let value = &self.values.all[ix];
        let Some(node) = value.node else {
            return "a parameter of the loop or branch".to_owned();
        };
        let op = &self.region.node(node).op;
        let place = self.label(ix);
        let name = match op {
            Op::Input(name, _) | Op::Param(name, _) | Op::State(name) => name,
            _ if place.is_empty() => return format!("`{}`", op.name()),
            _ => return format!("`{}` of {place}", op.name()),
        };
        format!("`{}` {name}", op.name())
    }

    fn origin(&self, ix: ValueIx) -> Option<&'g Origin> {
        let node = self.values.all[ix].node?;
        self.region.origin(node)
    }

    /// The path of the module instance that a value comes from.
    fn label(&self, ix: ValueIx) -> String {
        let origin = self.origin(ix);
        origin.map_or_else(String::new, |origin| origin.path.to_string())
    }
}
