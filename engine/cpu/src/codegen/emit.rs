//! One kernel as one function.
//!
//! The function gets a frame and a range of points. The range's first point is decomposed into
//! positions of the outer loops once; from then on positions and the addresses of every access
//! advance by increments, and are computed anew only where the innermost outer loop starts
//! again. Guarantees that nothing is read but what the accesses name where their guards hold.
//! What a point does is in `emit/body`, how elements are computed in `emit/element`.

mod body;
mod call;
mod element;
mod fade;
mod points;
mod read;
mod reduce;
mod walk;

use std::collections::BTreeMap;
use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    AbiParam, Block, Function, InstBuilder, Signature, StackSlot, StackSlotData, StackSlotKind,
    Value,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use girih_graph::Extent;
use girih_plan::kernel::{Access, Affine, Kernel, LoopKind, StepId, StepOp};

use super::frame::Frame;
use super::lanes::{Kind, Writer};
use super::memory::memory;
use super::schedule::Schedule;
use super::shape::Shape;
use super::target::Features;

/// An access of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// Of this step.
    Load(StepId),
    /// Of this store.
    Store(usize),
}

/// Positions of the inner loop that one loop visits.
#[derive(Clone, Copy, Debug)]
struct Span {
    low: Value,
    high: Value,
    /// How many, from 0 on, if that is known and small.
    known: Option<i64>,
}

/// State while a function is written.
struct Emitter<'a> {
    writer: Writer<'a>,
    isa: &'a dyn TargetIsa,
    kernel: &'a Kernel,
    schedule: &'a Schedule,
    shape: &'a Shape,
    frame: Value,
    routines: Value,
    scratch: Value,
    sizes: Vec<Value>,
    buffers: Vec<Value>,
    /// Positions of the outer loops and the walk.
    positions: BTreeMap<usize, Variable>,
    /// Addresses of accesses at the current point, and at the current position of the walk.
    bases: BTreeMap<Key, Variable>,
    walked: BTreeMap<Key, Variable>,
    /// Values that do not vary along the inner loop.
    uniform: BTreeMap<StepId, Value>,
    /// Sums over the walk of such values.
    sums: BTreeMap<StepId, Variable>,
    /// Loads whose guards that do not vary along the inner loop are known to hold.
    inside: Vec<StepId>,
    /// First position of the current block of the inner loop.
    block_start: Value,
    /// Bytes of a unit of a row.
    row_bytes: Value,
    /// Zeros, read where a guard does not hold.
    zeros: StackSlot,
    /// Operands and result of a routine for one element.
    cells: [StackSlot; 3],
    /// Leaves with a status, a position and an extent.
    fail: Block,
}

/// Writes the function of a normalized kernel.
pub(super) fn emit(
    isa: &dyn TargetIsa,
    features: Features,
    kernel: &Kernel,
    schedule: &Schedule,
    shape: &Shape,
    function: &mut Function,
    context: &mut FunctionBuilderContext,
) {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.extend([AbiParam::new(I64); 3]);
    signature.returns.push(AbiParam::new(I32));
    function.signature = signature;
    let mut builder = FunctionBuilder::new(function, context);
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    let params = builder.block_params(entry).to_vec();
    let [frame, begin, end] = params[..] else {
        return;
    };
    let slot = |builder: &mut FunctionBuilder<'_>, bytes| {
        builder.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 4))
    };
    let zeros = slot(&mut builder, 16);
    let cells = [0; 3].map(|_| slot(&mut builder, 16));
    let fail = builder.create_block();
    let mut emitter = Emitter {
        writer: Writer { builder, features },
        isa,
        kernel,
        schedule,
        shape,
        frame,
        routines: frame,
        scratch: frame,
        sizes: Vec::new(),
        buffers: Vec::new(),
        positions: BTreeMap::new(),
        bases: BTreeMap::new(),
        walked: BTreeMap::new(),
        uniform: BTreeMap::new(),
        sums: BTreeMap::new(),
        inside: Vec::new(),
        block_start: frame,
        row_bytes: frame,
        zeros,
        cells,
        fail,
    };
    emitter.enter();
    emitter.points(begin, end);
    emitter.failure();
    let mut builder = emitter.writer.builder;
    builder.seal_all_blocks();
    builder.finalize(isa.frontend_config());
}

impl<'a> Emitter<'a> {
    /// Everything that the whole call needs.
    fn enter(&mut self) {
        self.routines = self.frame_field(offset_of!(Frame, routines));
        self.scratch = self.frame_field(offset_of!(Frame, scratch));
        let sizes = self.frame_field(offset_of!(Frame, sizes));
        let count = self.shape.sizes.len();
        self.sizes = (0..count).map(|at| self.word(sizes, at)).collect();
        let buffers = self.frame_field(offset_of!(Frame, buffers));
        let count = self.kernel.buffers.len();
        self.buffers = (0..count).map(|at| self.word(buffers, at)).collect();
        let zero = self.int(0);
        self.block_start = zero;
        self.row_bytes = zero;
        for offset in [0, 8] {
            self.writer
                .builder
                .ins()
                .stack_store(I64, zero, self.zeros, offset);
        }
        if self.schedule.rows > 0
            && let Some(inner) = self.kernel.inner()
        {
            let count = self.extent(&self.kernel.loops[inner].extent);
            let bytes = self.scaled(count, 4);
            let up = self.plus(bytes, 63);
            let mask = self.int(!63);
            self.row_bytes = self.writer.builder.ins().band(up, mask);
        }
    }

    fn frame_field(&mut self, offset: usize) -> Value {
        let frame = self.frame;
        self.writer
            .builder
            .ins()
            .load(I64, memory(), frame, offset as i32)
    }

    fn word(&mut self, address: Value, position: usize) -> Value {
        self.writer
            .builder
            .ins()
            .load(I64, memory(), address, position as i32 * 8)
    }

    fn failure(&mut self) {
        let fail = self.fail;
        let status = self.writer.builder.append_block_param(fail, I32);
        let position = self.writer.builder.append_block_param(fail, I64);
        let extent = self.writer.builder.append_block_param(fail, I64);
        self.writer.builder.switch_to_block(fail);
        self.writer.builder.set_cold_block(fail);
        let frame = self.frame;
        for (value, offset) in [
            (position, offset_of!(Frame, position)),
            (extent, offset_of!(Frame, extent)),
        ] {
            self.writer
                .builder
                .ins()
                .store(memory(), value, frame, offset as i32);
        }
        self.writer.builder.ins().return_(&[status]);
    }

    fn int(&mut self, value: i64) -> Value {
        self.writer.builder.ins().iconst(I64, value)
    }

    fn plus(&mut self, x: Value, amount: i64) -> Value {
        if amount == 0 {
            return x;
        }
        let amount = self.int(amount);
        self.writer.builder.ins().iadd(x, amount)
    }

    fn add(&mut self, x: Value, y: Value) -> Value {
        self.writer.builder.ins().iadd(x, y)
    }

    fn scaled(&mut self, x: Value, factor: i64) -> Value {
        match factor {
            1 => x,
            2 | 4 | 8 => {
                let amount = self.int(i64::from(factor.trailing_zeros()));
                self.writer.builder.ins().ishl(x, amount)
            }
            _ => {
                let factor = self.int(factor);
                self.writer.builder.ins().imul(x, factor)
            }
        }
    }

    fn smaller(&mut self, x: Value, y: Value) -> Value {
        let less = self.writer.builder.ins().icmp(IntCC::SignedLessThan, x, y);
        self.writer.builder.ins().select(less, x, y)
    }

    fn extent(&mut self, extent: &Extent) -> Value {
        match (extent.as_constant(), self.shape.size(extent)) {
            (Some(value), _) => self.int(value),
            (None, Some(place)) => self.sizes[place],
            (None, None) => self.int(0),
        }
    }

    fn times(&mut self, x: Value, factor: &Extent) -> Value {
        if let Some(factor) = factor.as_constant() {
            return self.scaled(x, factor);
        }
        let factor = self.extent(factor);
        self.writer.builder.ins().imul(x, factor)
    }

    fn var(&mut self, value: Value) -> Variable {
        let ty = self.writer.builder.func.dfg.value_type(value);
        let variable = self.writer.builder.declare_var(ty);
        self.writer.builder.def_var(variable, value);
        variable
    }

    fn get(&mut self, variable: Variable) -> Value {
        self.writer.builder.use_var(variable)
    }

    fn set(&mut self, variable: Variable, value: Value) {
        self.writer.builder.def_var(variable, value);
    }

    fn block(&mut self) -> Block {
        self.writer.builder.create_block()
    }

    fn jump(&mut self, block: Block) {
        self.writer.builder.ins().jump(block, &[]);
    }

    fn branch(&mut self, condition: Value, yes: Block, no: Block) {
        self.writer.builder.ins().brif(condition, yes, &[], no, &[]);
    }

    /// `body` for positions from `low` on in steps, as long as a whole step fits below `high`.
    /// Gives the first position that was left out.
    fn each_step(
        &mut self,
        low: Value,
        high: Value,
        step: i64,
        mut body: impl FnMut(&mut Self, Value),
    ) -> Value {
        let index = self.var(low);
        let last = self.plus(high, -step);
        let (inside, after) = (self.block(), self.block());
        let enters = self
            .writer
            .builder
            .ins()
            .icmp(IntCC::SignedLessThanOrEqual, low, last);
        self.branch(enters, inside, after);
        self.writer.builder.switch_to_block(inside);
        let own = self.get(index);
        body(self, own);
        let next = self.plus(own, step);
        self.set(index, next);
        let again = self
            .writer
            .builder
            .ins()
            .icmp(IntCC::SignedLessThanOrEqual, next, last);
        self.branch(again, inside, after);
        self.writer.builder.switch_to_block(after);
        self.get(index)
    }

    fn access(&self, key: Key) -> &'a Access {
        let kernel = self.kernel;
        match key {
            Key::Store(store) => &kernel.stores[store].access,
            Key::Load(step) => match &kernel.steps[step].op {
                StepOp::Load(access) => access,
                _ => unreachable!("only loads have this key"),
            },
        }
    }

    fn keys(&self) -> Vec<Key> {
        let loads = (0..self.kernel.steps.len()).filter(|id| {
            self.schedule.live[*id] && matches!(self.kernel.steps[*id].op, StepOp::Load(_))
        });
        let stores = (0..self.kernel.stores.len()).map(Key::Store);
        loads.map(Key::Load).chain(stores).collect()
    }

    /// Bytes of an element of the buffer of an access.
    fn element_size(&self, key: Key) -> i64 {
        self.kernel.buffers[self.access(key).buffer].size() as i64
    }

    /// `offset + Σ factor·position` of the outer loops.
    fn outer_part(&mut self, affine: &Affine) -> Value {
        let mut sum = self.extent(&affine.offset);
        for (id, factor) in &affine.loops {
            if self.kernel.loops[*id].kind == LoopKind::Outer
                && let Some(position) = self.positions.get(id).copied()
            {
                let position = self.get(position);
                let term = self.times(position, factor);
                sum = self.add(sum, term);
            }
        }
        sum
    }
}

/// The kind of a step's values.
fn kind(kernel: &Kernel, id: StepId) -> Kind {
    Kind::of(kernel.steps[id].dtype)
}
