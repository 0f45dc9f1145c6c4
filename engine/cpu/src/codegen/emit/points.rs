//! The loop over a range of points, and the addresses at each of them.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I32;
use cranelift_codegen::ir::{Block, InstBuilder, Value};
use cranelift_frontend::Variable;
use girih_plan::kernel::LoopKind;

use super::{Emitter, Span};
use crate::codegen::schedule::BLOCK;
use crate::codegen::shape::Shape;

impl Emitter<'_> {
    /// All points of the range.
    pub(super) fn points(&mut self, begin: Value, end: Value) {
        let (start, leave) = (self.block(), self.block());
        let some = self
            .writer
            .builder
            .ins()
            .icmp(IntCC::SignedLessThan, begin, end);
        self.branch(some, start, leave);
        self.writer.builder.switch_to_block(start);
        let outer: Vec<usize> = (0..self.kernel.loops.len())
            .filter(|id| self.kernel.loops[*id].kind == LoopKind::Outer)
            .collect();
        let blocks = self.blocks();
        let mut extents: Vec<Value> = Vec::new();
        for id in &outer {
            let extent = self.extent(&self.kernel.loops[*id].extent);
            extents.push(extent);
        }
        extents.extend(blocks);
        let count = extents.len();
        // Decomposed once, the last one first.
        let mut rest = begin;
        let mut places = vec![begin; count];
        for place in (0..count).rev() {
            let ins = self.writer.builder.ins();
            places[place] = if place == 0 {
                rest
            } else {
                ins.urem(rest, extents[place])
            };
            if place > 0 {
                rest = self.writer.builder.ins().udiv(rest, extents[place]);
            }
        }
        let variables: Vec<Variable> = places.iter().map(|place| self.var(*place)).collect();
        for (id, variable) in outer.iter().zip(&variables) {
            self.positions.insert(*id, *variable);
        }
        let block = blocks.and(variables.last().copied());
        let Some((last, upper)) = variables.split_last() else {
            self.find_bases();
            self.point(None);
            self.jump(leave);
            return self.leave(leave);
        };
        let total = self.writer.builder.ins().isub(end, begin);
        let remaining = self.var(total);
        let row = self.block();
        self.jump(row);
        self.writer.builder.switch_to_block(row);
        self.find_bases();
        let own = self.get(*last);
        let to_end = self.writer.builder.ins().isub(extents[count - 1], own);
        let left = self.get(remaining);
        let now = self.smaller(to_end, left);
        let counter = self.var(now);
        let body = self.block();
        self.jump(body);
        self.writer.builder.switch_to_block(body);
        self.point(block);
        let own = self.get(*last);
        let next = self.plus(own, 1);
        self.set(*last, next);
        if blocks.is_none()
            && let Some(id) = outer.last()
        {
            self.advance(*id);
        }
        let rest = self.get(counter);
        let rest = self.plus(rest, -1);
        self.set(counter, rest);
        let (again, done) = (body, self.block());
        self.branch(rest, again, done);
        self.writer.builder.switch_to_block(done);
        // The next row, if there is one.
        let left = self.get(remaining);
        let left = self.writer.builder.ins().isub(left, now);
        self.set(remaining, left);
        let carry = self.block();
        self.branch(left, carry, leave);
        self.writer.builder.switch_to_block(carry);
        let zero = self.int(0);
        self.set(*last, zero);
        for (place, variable) in upper.iter().enumerate().rev() {
            let own = self.get(*variable);
            let next = self.plus(own, 1);
            self.set(*variable, next);
            let over = self.block();
            let inside =
                self.writer
                    .builder
                    .ins()
                    .icmp(IntCC::SignedLessThan, next, extents[place]);
            self.branch(inside, row, over);
            self.writer.builder.switch_to_block(over);
            let zero = self.int(0);
            self.set(*variable, zero);
        }
        // Past the last point: the range was too long.
        self.jump(leave);
        self.leave(leave);
    }

    fn leave(&mut self, leave: Block) {
        self.writer.builder.switch_to_block(leave);
        let fine = self.writer.builder.ins().iconst(I32, 0);
        self.writer.builder.ins().return_(&[fine]);
    }

    /// Number of blocks of the inner loop, if it is cut.
    fn blocks(&mut self) -> Option<Value> {
        let inner = Shape::cut(self.kernel, self.schedule)?;
        let count = self.extent(&self.kernel.loops[inner].extent);
        let up = self.plus(count, BLOCK - 1);
        let shift = self.int(i64::from(BLOCK.trailing_zeros()));
        Some(self.writer.builder.ins().ushr(up, shift))
    }

    /// Addresses of all accesses at the current point.
    fn find_bases(&mut self) {
        for key in self.keys() {
            let access = self.access(key);
            let part = self.outer_part(&access.address);
            let bytes = self.scaled(part, self.element_size(key));
            let address = self.add(self.buffers[access.buffer], bytes);
            if let Some(variable) = self.bases.get(&key).copied() {
                self.set(variable, address);
            } else {
                let variable = self.var(address);
                self.bases.insert(key, variable);
            }
        }
    }

    /// Addresses one position of a loop on.
    fn advance(&mut self, id: usize) {
        for key in self.keys() {
            let factor = self.access(key).address.factor(id);
            if factor.as_constant() != Some(0)
                && let Some(variable) = self.bases.get(&key).copied()
            {
                let size = self.int(self.element_size(key));
                let stride = self.times(size, &factor);
                let address = self.get(variable);
                let next = self.add(address, stride);
                self.set(variable, next);
            }
        }
    }

    /// The positions of the inner loop that the current point has.
    fn point(&mut self, block: Option<Variable>) {
        let zero = self.int(0);
        let Some(inner) = self.kernel.inner() else {
            let one = self.int(1);
            return self.run_point(Span {
                low: zero,
                high: one,
                known: Some(1),
            });
        };
        let extent = &self.kernel.loops[inner].extent;
        let count = self.extent(extent);
        let Some(block) = block else {
            let known = extent
                .as_constant()
                .filter(|count| (0..=16).contains(count));
            return self.run_point(Span {
                low: zero,
                high: count,
                known,
            });
        };
        let block = self.get(block);
        let low = self.scaled(block, BLOCK);
        let end = self.plus(low, BLOCK);
        let high = self.smaller(end, count);
        self.run_point(Span {
            low,
            high,
            known: None,
        });
    }
}
