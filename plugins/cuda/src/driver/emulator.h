// Runs CUDA C as C++ on one thread of the host: blocks one after another, the threads of a block as
// fibers that change where they wait for one another, or one after another if they never do. Every
// other block is run backwards, so that threads that should wait and do not give other results. A
// thread that waits for threads that never come is an error, not a hang.

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <utility>

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(threads)
#define __restrict__ __restrict
#define __shared__ static

struct Dim { unsigned x, y, z; };
static Dim gridDim, blockDim, blockIdx, threadIdx;

static inline float __int_as_float(int bits) { float x; memcpy(&x, &bits, 4); return x; }
static inline int __float_as_int(float x) { int bits; memcpy(&bits, &x, 4); return bits; }
static inline double __longlong_as_double(long long bits) { double x; memcpy(&x, &bits, 8); return x; }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline unsigned long long atomicCAS(unsigned long long* at, unsigned long long old, unsigned long long value) {
  const unsigned long long before = *at;
  if (before == old) *at = value;
  return before;
}

namespace emulator {

const unsigned MOST = 1024;
const size_t STACK = 128 << 10;

struct Fiber { jmp_buf at; ucontext_t start; bool done; };
static Fiber* fibers = nullptr;
static unsigned made = 0, count = 0, current = 0, alive = 0, waits = 0;
static unsigned arrived = 0, generation = 0;
static unsigned warp_alive[MOST / 32], warp_arrived[MOST / 32], warp_generation[MOST / 32];
static jmp_buf host;
static ucontext_t host_context;
static void (*body)(void*) = nullptr;
static void* body_data = nullptr;
static bool starting = false, fibered = false, backwards = false;
alignas(16) static char lanes[MOST][16];

// What the host jumps back with.
enum { FINISHED = 1, STUCK = 2 };

static void run_in(unsigned fiber) {
  current = fiber;
  threadIdx.x = fiber;
  _longjmp(fibers[fiber].at, 1);
}

// The next thread that is not done.
static unsigned following(unsigned fiber) {
  do fiber = backwards ? (fiber == 0 ? count : fiber) - 1 : fiber + 1 == count ? 0 : fiber + 1;
  while (fibers[fiber].done);
  return fiber;
}

static void change() {
  if (++waits > 4 * MOST) _longjmp(host, STUCK);
  const unsigned own = current, next = following(own);
  if (next != own && !_setjmp(fibers[own].at)) run_in(next);
}

static void complete(unsigned& arrived, unsigned& generation) {
  arrived = 0;
  ++generation;
  waits = 0;
}

static void main_of_fiber() {
  for (;;) {
    const unsigned own = current;
    if (starting) {
      if (!_setjmp(fibers[own].at)) setcontext(&host_context);
    }
    body(body_data);
    fibers[own].done = true;
    waits = 0;
    const unsigned warp = own / 32;
    // Who is done is waited for no longer.
    if (--alive == 0) {
      if (!_setjmp(fibers[own].at)) _longjmp(host, FINISHED);
      continue;
    }
    if (arrived == alive) complete(arrived, generation);
    if (--warp_alive[warp] && warp_arrived[warp] == warp_alive[warp])
      complete(warp_arrived[warp], warp_generation[warp]);
    const unsigned next = following(own);
    if (!_setjmp(fibers[own].at)) run_in(next);
  }
}

static void make_fibers(unsigned wanted) {
  if (!fibers) fibers = (Fiber*)calloc(MOST, sizeof(Fiber));
  for (; made < wanted; ++made) {
    Fiber& fiber = fibers[made];
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = malloc(STACK);
    fiber.start.uc_stack.ss_size = STACK;
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, main_of_fiber, 0);
    starting = true;
    current = made;
    swapcontext(&host_context, &fiber.start);
    starting = false;
  }
}

// One block whose threads wait for one another.
static int block() {
  alive = count;
  waits = arrived = 0;
  for (unsigned warp = 0; warp < MOST / 32; ++warp) {
    const unsigned first = warp * 32;
    warp_alive[warp] = first < count ? (count - first < 32 ? count - first : 32) : 0;
    warp_arrived[warp] = 0;
  }
  for (unsigned fiber = 0; fiber < count; ++fiber) fibers[fiber].done = false;
  const int how = _setjmp(host);
  if (how == 0) run_in(backwards ? count - 1 : 0);
  return how;
}

static void wait_for_block() {
  const unsigned own = generation;
  if (++arrived == alive) return complete(arrived, generation);
  while (own == generation) change();
}

static void wait_for_warp() {
  const unsigned warp = current / 32, own = warp_generation[warp];
  if (++warp_arrived[warp] == warp_alive[warp]) return complete(warp_arrived[warp], warp_generation[warp]);
  while (own == warp_generation[warp]) change();
}

template <class T> T from_lane(T x, unsigned lane) {
  static_assert(sizeof(T) <= 16, "a lane's value");
  memcpy(lanes[current], &x, sizeof x);
  wait_for_warp();
  T other;
  memcpy(&other, lanes[current / 32 * 32 + lane], sizeof other);
  wait_for_warp();
  return other;
}

// Whether any of some threads has something, between two waits.
static bool flags[MOST];
static int any_of(bool own, unsigned first, unsigned last, void (*wait)()) {
  flags[current] = own;
  wait();
  bool any = false;
  for (unsigned thread = first; thread < last; ++thread) any |= flags[thread];
  wait();
  return any;
}

template <class... A> struct Call {
  void (*function)(A...);
  void** arguments;
  template <size_t... I> void with(std::index_sequence<I...>) { function(*(A*)arguments[I]...); }
  static void run(void* own) { ((Call*)own)->with(std::index_sequence_for<A...>()); }
};

template <class... A>
int launch(void (*function)(A...), void** arguments, unsigned x, unsigned y, unsigned threads, int synchronizes) {
  Call<A...> call = {function, arguments};
  gridDim = {x, y, 1};
  blockDim = {threads, 1, 1};
  body = Call<A...>::run;
  body_data = &call;
  count = threads;
  fibered = synchronizes;
  if (threads > MOST) return 3;
  if (synchronizes) make_fibers(threads);
  for (unsigned j = 0; j < y; ++j)
    for (unsigned i = 0; i < x; ++i) {
      blockIdx = {i, j, 0};
      backwards = !backwards;
      if (synchronizes) {
        if (block() != FINISHED) {
          // The stacks of those that are stuck are lost.
          fibers = nullptr;
          made = 0;
          return 1;
        }
        continue;
      }
      for (unsigned n = 0; n < threads; ++n) {
        threadIdx = {backwards ? threads - 1 - n : n, 0, 0};
        body(body_data);
      }
    }
  return 0;
}

// A kernel that says that it does not wait, but does.
static void check_fibered() {
  if (!fibered) {
    fprintf(stderr, "girih-cuda: a kernel waits for its threads and did not say so\n");
    abort();
  }
}

}  // namespace emulator

static inline void __syncthreads() { emulator::check_fibered(); emulator::wait_for_block(); }
static inline void __syncwarp() { emulator::check_fibered(); emulator::wait_for_warp(); }
static inline int __syncthreads_or(int own) {
  emulator::check_fibered();
  return emulator::any_of(own, 0, emulator::count, emulator::wait_for_block);
}
static inline int __any_sync(unsigned, int own) {
  emulator::check_fibered();
  const unsigned first = emulator::current / 32 * 32;
  return emulator::any_of(own, first, first + 32, emulator::wait_for_warp);
}
template <class T> T __shfl_sync(unsigned, T x, int lane) {
  emulator::check_fibered();
  return emulator::from_lane(x, lane & 31);
}
template <class T> T __shfl_down_sync(unsigned, T x, int distance) {
  emulator::check_fibered();
  const unsigned own = emulator::current % 32, other = own + distance;
  return emulator::from_lane(x, other < 32 ? other : own);
}

static inline float from_f16(unsigned short bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const float size = exponent == 31 ? (fraction ? NAN : INFINITY)
    : exponent == 0 ? ldexpf((float)fraction, -24)
    : ldexpf((float)(fraction + 1024), exponent - 25);
  return bits & 0x8000 ? -size : size;
}

// To nearest, ties to even.
static inline unsigned short bits_of_f16(float x) {
  const unsigned bits = (unsigned)__float_as_int(x), sign = bits >> 16 & 0x8000u;
  const float size = fabsf(x);
  if (x != x) return (unsigned short)(sign | 0x7e00u);
  if (size >= 65520.0f) return (unsigned short)(sign | 0x7c00u);
  if (size < 6.103515625e-05f) return (unsigned short)(sign | (unsigned)rintf(ldexpf(size, 24)));
  const unsigned magnitude = bits & 0x7fffffffu;
  return (unsigned short)(sign | (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13);
}

#define GIRIH_ENTRY(name) \
  extern "C" int emulate_##name(void** arguments, unsigned x, unsigned y, unsigned threads, int synchronizes) { \
    return emulator::launch(&name, arguments, x, y, threads, synchronizes); \
  }
