// What generated code uses. Reals of 16 bits are held as `float` and rounded in every step, integers
// of 8 bits as `int` and wrapped, truth values are bytes of 0 or 1 in memory.

typedef long long i64;
typedef unsigned long long u64;
typedef unsigned int u32;
typedef signed char i8;
typedef unsigned char u8;
struct f16 { unsigned short bits; };
struct bf16 { unsigned short bits; };

#define FN static __device__ __forceinline__
#define ALL_LANES 0xffffffffu

// The first guard that fails says which, the position, the extent, and whose it is.
struct Failure { i64 status, position, extent, launch; };
struct Guard { Failure* failure; i64 launch; };

FN bool fail(Guard guard, i64 status, i64 position, i64 extent) {
  if (atomicCAS((u64*)&guard.failure->status, 0ull, (u64)status) == 0ull) {
    guard.failure->position = position;
    guard.failure->extent = extent;
    guard.failure->launch = guard.launch;
  }
  return false;
}

FN bool inside(i64 position, i64 extent) { return (u64)position < (u64)extent; }
FN bool checked(Guard guard, i64 status, i64 position, i64 extent) {
  return inside(position, extent) || fail(guard, status, position, extent);
}

// Elements in memory.
FN float from_bf16(bf16 x) { return __int_as_float((int)((u32)x.bits << 16)); }
FN bf16 to_bf16(float x) {
  const u32 bits = (u32)__float_as_int(x);
  const u32 near = x != x ? bits | 0x400000u : bits + 0x7fffu + (bits >> 16 & 1u);
  return bf16{(unsigned short)(near >> 16)};
}
FN float read(float x) { return x; }
FN double read(double x) { return x; }
FN float read(f16 x) { return from_f16(x.bits); }
FN float read(bf16 x) { return from_bf16(x); }
FN i64 read(i64 x) { return x; }
FN int read(int x) { return x; }
FN int read(i8 x) { return x; }
FN int read(u8 x) { return x; }
FN f16 to_f16(float x) { return f16{bits_of_f16(x)}; }
FN float round_f16(float x) { return read(to_f16(x)); }
FN float round_bf16(float x) { return read(to_bf16(x)); }

// Integers wrap around.
FN int wrap_i8(int x) { return (i8)x; }
FN int wrap_u8(int x) { return x & 255; }
FN int add(int x, int y) { return (int)((u32)x + (u32)y); }
FN i64 add(i64 x, i64 y) { return (i64)((u64)x + (u64)y); }
FN int sub(int x, int y) { return (int)((u32)x - (u32)y); }
FN i64 sub(i64 x, i64 y) { return (i64)((u64)x - (u64)y); }
FN int mul(int x, int y) { return (int)((u32)x * (u32)y); }
FN i64 mul(i64 x, i64 y) { return (i64)((u64)x * (u64)y); }
FN int magnitude(int x) { return x < 0 ? sub(0, x) : x; }
FN i64 magnitude(i64 x) { return x < 0 ? sub((i64)0, x) : x; }
FN int shl(int x, int y, int low) { return (int)((u32)x << (y & low)); }
FN i64 shl(i64 x, i64 y, int low) { return (i64)((u64)x << (y & low)); }
FN int shr(int x, int y, int low) { return (int)((u32)x >> (y & low)); }
FN i64 shr(i64 x, i64 y, int low) { return (i64)((u64)x >> (y & low)); }

// Toward minus infinity; 0 for a zero divisor. The least number over -1 is itself, as 1 is taken.
template <class T> FN T floor_div(T x, T y) {
  if (y == 0) return 0;
  if (y == -1) return sub((T)0, x);
  const T quotient = x / y, rest = x % y;
  return rest != 0 && (rest < 0) != (y < 0) ? quotient - 1 : quotient;
}
template <class T> FN T floor_rem(T x, T y) {
  if (y == 0 || y == -1) return 0;
  const T rest = x % y;
  return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}
FN float floor_rem(float x, float y) {
  const float rest = fmodf(x, y);
  return rest != 0.0f && (rest < 0.0f) != (y < 0.0f) ? rest + y : rest;
}
FN double floor_rem(double x, double y) {
  const double rest = fmod(x, y);
  return rest != 0.0 && (rest < 0.0) != (y < 0.0) ? rest + y : rest;
}

// NaN if one is.
template <class T> FN T larger(T x, T y) { return x > y || x != x ? x : y; }
template <class T> FN T smaller(T x, T y) { return x < y || x != x ? x : y; }
template <class T> FN T sign(T x) { return x > (T)0 ? (T)1 : x < (T)0 ? (T)-1 : x != x ? x : (T)0; }
FN float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
FN double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }

// Casts clamp; NaN becomes 0.
FN i64 whole_i64(double x) {
  if (x != x) return 0;
  if (x >= 9223372036854775808.0) return 9223372036854775807ll;
  if (x <= -9223372036854775808.0) return -9223372036854775807ll - 1;
  return (i64)x;
}
FN i64 clamp(i64 x, i64 low, i64 high) { return x < low ? low : x > high ? high : x; }
FN int clamp_i32(i64 x) { return (int)clamp(x, -2147483648ll, 2147483647ll); }
FN int clamp_i8(i64 x) { return (int)clamp(x, -128, 127); }
FN int clamp_u8(i64 x) { return (int)clamp(x, 0, 255); }

// How values combine.
struct Sum {
  template <class T> static __device__ __forceinline__ T of(T x, T y) { return x + y; }
  static __device__ __forceinline__ int of(int x, int y) { return add(x, y); }
  static __device__ __forceinline__ i64 of(i64 x, i64 y) { return add(x, y); }
};
struct Prod {
  template <class T> static __device__ __forceinline__ T of(T x, T y) { return x * y; }
  static __device__ __forceinline__ int of(int x, int y) { return mul(x, y); }
  static __device__ __forceinline__ i64 of(i64 x, i64 y) { return mul(x, y); }
};
struct Max {
  template <class T> static __device__ __forceinline__ T of(T x, T y) { return larger(x, y); }
};
struct Min {
  template <class T> static __device__ __forceinline__ T of(T x, T y) { return smaller(x, y); }
};
struct Any {
  template <class T> static __device__ __forceinline__ T of(T x, T y) { return x || y; }
};
struct All {
  template <class T> static __device__ __forceinline__ T of(T x, T y) { return x && y; }
};

// What the threads of a team have, combined in an order that depends on nothing; each gets it.
template <int TEAM, class Op, class T> FN T across(T x) {
  for (int distance = 16; distance > 0; distance /= 2)
    x = Op::of(x, __shfl_down_sync(ALL_LANES, x, distance));
  if (TEAM == 32) return __shfl_sync(ALL_LANES, x, 0);
  __shared__ T parts[TEAM / 32];
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  x = parts[0];
  for (int part = 1; part < TEAM / 32; ++part) x = Op::of(x, parts[part]);
  return x;
}
template <int TEAM> FN void together() {
  if (TEAM == 32) __syncwarp();
  else __syncthreads();
}

// Random numbers: words of 64 bits, hashed from the run, a key and a position.
FN u64 mixed(u64 x) {
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ x >> 27) * 0x94D049BB133111EBull;
  return x ^ x >> 31;
}
FN u64 absorb(u64 hash, u64 word) { return mixed(hash + (word + 1) * 0x9E3779B97F4A7C15ull); }
FN float uniform(u64 word) { return (float)((double)(word >> 40) * 0x1p-24); }
FN float normal(u64 word) {
  const double radius = (double)((word >> 40) + 1) * 0x1p-24;
  const double angle = (double)(word >> 16 & 0xffffff) * 0x1p-24;
  return (float)(sqrt(-2.0 * log(radius)) * cos(6.283185307179586 * angle));
}
