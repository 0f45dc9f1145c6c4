//! Instructions that multiply whole tiles of a matrix (AMX).
//!
//! A thread has eight registers; each is a tile of up to 16 rows of up to 64 bytes, as a [`Config`] says. What the unit does
//! is behind [`Tiles`], so that tests hold products to their numbers on machines without one: in plain Rust it does
//! what the pseudocode of Intel's manual does.
#![expect(
    unsafe_code,
    reason = "registers that no compiled code knows are named in assembly"
)]

/// Rows of a whole tile, and 32-bit numbers in its rows.
pub(crate) const SIDE: usize = 16;

/// What the registers are: palette 1 of the unit.
#[repr(C, align(64))]
pub(crate) struct Config {
    palette: u8,
    first_row: u8,
    unused: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Config {
    /// Rows and bytes of a row, of every register; none for one that is not used.
    pub(crate) const fn new(shapes: [(usize, usize); 8]) -> Self {
        let mut config = Self {
            palette: 1,
            first_row: 0,
            unused: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        let mut at = 0;
        while at < shapes.len() {
            let (rows, row_bytes) = shapes[at];
            assert!(rows <= SIDE && row_bytes <= 4 * SIDE, "a tile has as many");
            config.rows[at] = rows as u8;
            config.row_bytes[at] = row_bytes as u16;
            at += 1;
        }
        config
    }
}

/// Eight registers of tiles, of the thread.
pub(crate) trait Tiles: 'static {
    /// Makes the registers what the configuration says, filled with zeros.
    ///
    /// # Safety
    ///
    /// - The machine has the unit.
    unsafe fn begin(config: &'static Config);

    /// Gives the registers back.
    ///
    /// # Safety
    ///
    /// - As for [`begin`](Self::begin).
    unsafe fn end();

    /// Fills a tile with zeros.
    ///
    /// # Safety
    ///
    /// - The registers are tiles, here and below.
    unsafe fn zero<const TILE: u8>();

    /// Reads a tile whose rows are `stride` bytes apart.
    ///
    /// # Safety
    ///
    /// - The rows are valid for reading.
    unsafe fn load<const TILE: u8>(from: *const u8, stride: usize);

    /// Adds to the tile `SUMS` of f32 the products of `A`, `[rows][pairs]` of brain floats, and `B`, `[pairs][columns]`
    /// of the same.
    ///
    /// # Safety
    ///
    /// - The registers are tiles that fit one another.
    unsafe fn dot_brains<const SUMS: u8, const A: u8, const B: u8>();

    /// Adds to the tile `SUMS` of i32 the products of `A`, `[rows][fours]` of signed bytes, and `B`, `[fours][columns]` of
    /// bytes without signs.
    ///
    /// # Safety
    ///
    /// - As for [`dot_brains`](Self::dot_brains).
    unsafe fn dot_bytes<const SUMS: u8, const A: u8, const B: u8>();

    /// Writes a tile, its rows `stride` bytes apart.
    ///
    /// # Safety
    ///
    /// - The rows are valid for writing.
    unsafe fn store<const TILE: u8>(to: *mut u8, stride: usize);
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx {
    //! The unit of x86-64: Intel's Software Developer's Manual, volume 1, chapter 18.

    use std::arch::asm;

    use super::{Config, Tiles};

    /// The processor's registers.
    pub(crate) struct Amx;

    impl Tiles for Amx {
        #[inline]
        unsafe fn begin(config: &'static Config) {
            // SAFETY: the caller vouches for the unit; the configuration is one of palette 1.
            unsafe {
                asm!("ldtilecfg [{}]", in(reg) config, options(nostack, preserves_flags, readonly));
            }
        }

        #[inline]
        unsafe fn end() {
            // SAFETY: the caller vouches for the unit.
            unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) };
        }

        #[inline]
        unsafe fn zero<const TILE: u8>() {
            // SAFETY: the caller vouches for the tiles; no compiled code uses them.
            unsafe {
                asm!("tilezero tmm{}", const TILE, options(nostack, preserves_flags, nomem));
            }
        }

        #[inline]
        unsafe fn load<const TILE: u8>(from: *const u8, stride: usize) {
            // SAFETY: the caller vouches for the rows.
            unsafe {
                asm!(
                    "tileloadd tmm{}, [{} + {}*1]",
                    const TILE,
                    in(reg) from,
                    in(reg) stride,
                    options(nostack, preserves_flags, readonly),
                );
            }
        }

        #[inline]
        unsafe fn dot_brains<const SUMS: u8, const A: u8, const B: u8>() {
            // SAFETY: the caller vouches for the tiles.
            unsafe {
                asm!(
                    "tdpbf16ps tmm{}, tmm{}, tmm{}",
                    const SUMS,
                    const A,
                    const B,
                    options(nostack, preserves_flags, nomem),
                );
            }
        }

        #[inline]
        unsafe fn dot_bytes<const SUMS: u8, const A: u8, const B: u8>() {
            // SAFETY: the caller vouches for the tiles.
            unsafe {
                asm!(
                    "tdpbsud tmm{}, tmm{}, tmm{}",
                    const SUMS,
                    const A,
                    const B,
                    options(nostack, preserves_flags, nomem),
                );
            }
        }

        #[inline]
        unsafe fn store<const TILE: u8>(to: *mut u8, stride: usize) {
            // SAFETY: the caller vouches for the rows.
            unsafe {
                asm!(
                    "tilestored [{} + {}*1], tmm{}",
                    in(reg) to,
                    in(reg) stride,
                    const TILE,
                    options(nostack, preserves_flags),
                );
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod emulated {
    //! The unit in plain Rust.

    use std::cell::RefCell;

    use super::{Config, SIDE, Tiles};

    /// Bytes of whole tiles; those that a tile lacks are zero.
    type Tile = [[[u8; 4]; SIDE]; SIDE];

    struct Registers {
        config: &'static Config,
        tiles: [Tile; 8],
    }

    thread_local! {
        /// `None`: the registers are no tiles.
        static REGISTERS: RefCell<Option<Registers>> = const { RefCell::new(None) };
    }

    /// Registers of the thread's own.
    pub(crate) struct Emulated;

    const EMPTY: Tile = [[[0; 4]; SIDE]; SIDE];

    impl Registers {
        /// Rows, and 32-bit numbers of a row.
        fn shape(&self, tile: u8) -> (usize, usize) {
            let (rows, bytes) = (self.config.rows, self.config.row_bytes);
            let shape = (
                rows[tile as usize].into(),
                usize::from(bytes[tile as usize]) / 4,
            );
            assert!(shape.0 > 0 && shape.1 > 0, "tile {tile} is one");
            shape
        }

        /// `sum(old, a, b)` of every sum with all that is multiplied for it.
        fn dot<S: Copy>(
            &mut self,
            [sums, a, b]: [u8; 3],
            start: S,
            add: fn(S, [u8; 4], [u8; 4]) -> S,
            finish: fn([u8; 4], S) -> [u8; 4],
        ) {
            let ((rows, cols), (a_rows, inner)) = (self.shape(sums), self.shape(a));
            assert_eq!((a_rows, self.shape(b)), (rows, (inner, cols)), "tiles fit");
            let [sums, a, b] = [sums, a, b].map(usize::from);
            for row in 0..rows {
                for col in 0..cols {
                    let pairs =
                        (0..inner).map(|at| (self.tiles[a][row][at], self.tiles[b][at][col]));
                    let total = pairs.fold(start, |total, (x, y)| add(total, x, y));
                    let sum = &mut self.tiles[sums][row][col];
                    *sum = finish(*sum, total);
                }
            }
        }
    }

    fn with<R>(own: impl FnOnce(&mut Registers) -> R) -> R {
        REGISTERS.with_borrow_mut(|registers| own(registers.as_mut().expect("registers are tiles")))
    }

    /// Two brain floats.
    fn brains([a, b, c, d]: [u8; 4]) -> [f32; 2] {
        [[a, b], [c, d]].map(|half| f32::from_bits(u32::from(u16::from_le_bytes(half)) << 16))
    }

    impl Tiles for Emulated {
        unsafe fn begin(config: &'static Config) {
            REGISTERS.set(Some(Registers {
                config,
                tiles: [EMPTY; 8],
            }));
        }

        unsafe fn end() {
            REGISTERS.set(None);
        }

        unsafe fn zero<const TILE: u8>() {
            with(|own| own.tiles[TILE as usize] = EMPTY);
        }

        unsafe fn load<const TILE: u8>(from: *const u8, stride: usize) {
            with(|own| {
                let (rows, count) = own.shape(TILE);
                own.tiles[TILE as usize] = EMPTY;
                for (row, to) in own.tiles[TILE as usize].iter_mut().enumerate().take(rows) {
                    let from = from.wrapping_add(row * stride).cast::<[u8; 4]>();
                    for (at, to) in to.iter_mut().enumerate().take(count) {
                        // SAFETY: the caller vouches for the rows.
                        *to = unsafe { *from.wrapping_add(at) };
                    }
                }
            });
        }

        unsafe fn dot_brains<const SUMS: u8, const A: u8, const B: u8>() {
            // Even and odd numbers have sums of their own, which are added to one another first.
            let add = |[even, odd]: [f32; 2], x, y| {
                let (x, y) = (brains(x), brains(y));
                [x[0].mul_add(y[0], even), x[1].mul_add(y[1], odd)]
            };
            let finish =
                |sum, [even, odd]: [f32; 2]| (f32::from_le_bytes(sum) + (even + odd)).to_le_bytes();
            with(|own| own.dot([SUMS, A, B], [0.0_f32; 2], add, finish));
        }

        unsafe fn dot_bytes<const SUMS: u8, const A: u8, const B: u8>() {
            let add = |sum: i32, x: [u8; 4], y: [u8; 4]| {
                let products = x.into_iter().zip(y);
                products.fold(sum, |sum, (x, y)| {
                    sum + i32::from(x.cast_signed()) * i32::from(y)
                })
            };
            let finish =
                |sum, total: i32| i32::from_le_bytes(sum).wrapping_add(total).to_le_bytes();
            with(|own| own.dot([SUMS, A, B], 0_i32, add, finish));
        }

        unsafe fn store<const TILE: u8>(to: *mut u8, stride: usize) {
            with(|own| {
                let (rows, count) = own.shape(TILE);
                for (row, from) in own.tiles[TILE as usize].iter().enumerate().take(rows) {
                    let to = to.wrapping_add(row * stride).cast::<[u8; 4]>();
                    for (at, from) in from.iter().enumerate().take(count) {
                        // SAFETY: the caller vouches for the rows.
                        unsafe { *to.wrapping_add(at) = *from };
                    }
                }
            });
        }
    }
}
