#include "dot.h"

// Four sums at a time hide the latency of the multiply-add; the rows stream
// through once, so the loop is bound by memory, not by arithmetic.

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2,fma")))
static void dot_avx2(float *out, const float *rows, const float *probe, int n, int dim) {
  for (int i = 0; i < n; i++, rows += dim) {
    __m256 a = _mm256_setzero_ps(), b = a, c = a, d = a;
    int j = 0;
    for (; j + 32 <= dim; j += 32) {
      _mm_prefetch((const char *)(rows + j + 1024), _MM_HINT_T0);
      _mm_prefetch((const char *)(rows + j + 1040), _MM_HINT_T0);
      a = _mm256_fmadd_ps(_mm256_load_ps(rows + j), _mm256_load_ps(probe + j), a);
      b = _mm256_fmadd_ps(_mm256_load_ps(rows + j + 8), _mm256_load_ps(probe + j + 8), b);
      c = _mm256_fmadd_ps(_mm256_load_ps(rows + j + 16), _mm256_load_ps(probe + j + 16), c);
      d = _mm256_fmadd_ps(_mm256_load_ps(rows + j + 24), _mm256_load_ps(probe + j + 24), d);
    }
    for (; j < dim; j += 8)
      a = _mm256_fmadd_ps(_mm256_load_ps(rows + j), _mm256_load_ps(probe + j), a);
    a = _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d));
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    s = _mm_add_ss(s, _mm_shuffle_ps(s, s, 1));
    out[i] = _mm_cvtss_f32(s);
  }
}

__attribute__((target("avx2")))
static float sum_avx2(const float *v, long n) {
  __m256 a = _mm256_setzero_ps(), b = a;
  for (long j = 0; j < n; j += 16) {
    _mm_prefetch((const char *)(v + j + 1024), _MM_HINT_T0);
    a = _mm256_add_ps(a, _mm256_load_ps(v + j));
    b = _mm256_add_ps(b, _mm256_load_ps(v + j + 8));
  }
  float out[8], total = 0;
  _mm256_storeu_ps(out, _mm256_add_ps(a, b));
  for (int i = 0; i < 8; i++) total += out[i];
  return total;
}

static void dot_sse(float *out, const float *rows, const float *probe, int n, int dim) {
  for (int i = 0; i < n; i++, rows += dim) {
    __m128 a = _mm_setzero_ps(), b = a, c = a, d = a;
    for (int j = 0; j < dim; j += 16) {
      a = _mm_add_ps(a, _mm_mul_ps(_mm_load_ps(rows + j), _mm_load_ps(probe + j)));
      b = _mm_add_ps(b, _mm_mul_ps(_mm_load_ps(rows + j + 4), _mm_load_ps(probe + j + 4)));
      c = _mm_add_ps(c, _mm_mul_ps(_mm_load_ps(rows + j + 8), _mm_load_ps(probe + j + 8)));
      d = _mm_add_ps(d, _mm_mul_ps(_mm_load_ps(rows + j + 12), _mm_load_ps(probe + j + 12)));
    }
    a = _mm_add_ps(_mm_add_ps(a, b), _mm_add_ps(c, d));
    a = _mm_add_ps(a, _mm_movehl_ps(a, a));
    a = _mm_add_ss(a, _mm_shuffle_ps(a, a, 1));
    out[i] = _mm_cvtss_f32(a);
  }
}

void cf_dot(float *out, const float *rows, const float *probe, int n, int dim) {
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    dot_avx2(out, rows, probe, n, dim);
  else
    dot_sse(out, rows, probe, n, dim);
}

static float sum_plain(const float *v, long n);

float cf_sum(const float *v, long n) {
  return __builtin_cpu_supports("avx2") ? sum_avx2(v, n) : sum_plain(v, n);
}

#elif defined(__aarch64__)
#include <arm_neon.h>

void cf_dot(float *out, const float *rows, const float *probe, int n, int dim) {
  for (int i = 0; i < n; i++, rows += dim) {
    float32x4_t a = vdupq_n_f32(0), b = a, c = a, d = a;
    for (int j = 0; j < dim; j += 16) {
      __builtin_prefetch(rows + j + 1024);
      a = vfmaq_f32(a, vld1q_f32(rows + j), vld1q_f32(probe + j));
      b = vfmaq_f32(b, vld1q_f32(rows + j + 4), vld1q_f32(probe + j + 4));
      c = vfmaq_f32(c, vld1q_f32(rows + j + 8), vld1q_f32(probe + j + 8));
      d = vfmaq_f32(d, vld1q_f32(rows + j + 12), vld1q_f32(probe + j + 12));
    }
    out[i] = vaddvq_f32(vaddq_f32(vaddq_f32(a, b), vaddq_f32(c, d)));
  }
}

float cf_sum(const float *v, long n) {
  float32x4_t a = vdupq_n_f32(0), b = a;
  for (long j = 0; j < n; j += 8) {
    a = vaddq_f32(a, vld1q_f32(v + j));
    b = vaddq_f32(b, vld1q_f32(v + j + 4));
  }
  return vaddvq_f32(vaddq_f32(a, b));
}

#else

void cf_dot(float *out, const float *rows, const float *probe, int n, int dim) {
  for (int i = 0; i < n; i++, rows += dim) {
    float a = 0;
    for (int j = 0; j < dim; j++) a += rows[j] * probe[j];
    out[i] = a;
  }
}

static float sum_plain(const float *v, long n);

float cf_sum(const float *v, long n) { return sum_plain(v, n); }

#endif

#if !defined(__aarch64__)
static float sum_plain(const float *v, long n) {
  float a = 0, b = 0, c = 0, d = 0;
  for (long j = 0; j < n; j += 4) {
    a += v[j];
    b += v[j + 1];
    c += v[j + 2];
    d += v[j + 3];
  }
  return a + b + c + d;
}
#endif
