/* tests/fuzz/script.h: what targets share that are driven by a script of bytes: reading it, and an allocator that counts and can fail. */
#ifndef MSUB_TESTS_FUZZ_SCRIPT_H
#define MSUB_TESTS_FUZZ_SCRIPT_H
#include <string.h>
#include "meshsub/base.h"
#include "tests/fuzz/fuzz.h"

#define CHECK(cond) FUZZ_CHECK(cond)

/* ---- the script; behind its end are zeros ---- */

typedef struct script { const uint8_t *p, *end; } script;
static inline uint8_t byte(script *s) { return s->p < s->end ? *s->p++ : 0; }
static inline uint32_t word(script *s) {
  uint32_t hi = byte(s);
  return hi << 8 | byte(s);
}
/* A length and so many bytes, as far as there are any, in a block of their own: reading past it shows. To be freed. */
static inline uint8_t *block(script *s, size_t *n) {
  *n = byte(s);
  if (*n > (size_t)(s->end - s->p)) *n = (size_t)(s->end - s->p);
  uint8_t *copy = malloc(*n + 1);
  CHECK(copy);
  if (*n) memcpy(copy, s->p, *n);
  s->p += *n;
  return copy;
}

/* ---- memory ---- */

typedef struct fuzz_mem {
  size_t live, blocks;
  uint32_t fail_in; /* the n-th allocation from now on fails; 0: none */
} fuzz_mem;
static inline void *fuzz_alloc(void *ud, size_t n) {
  fuzz_mem *m = ud;
  if (m->fail_in && --m->fail_in == 0) return NULL;
  void *p = malloc(n ? n : 1);
  CHECK(p);
  m->live += n;
  m->blocks++;
  return p;
}
static inline void fuzz_free(void *ud, void *p, size_t n) {
  fuzz_mem *m = ud;
  if (!p) return;
  CHECK(m->live >= n && m->blocks);
  m->live -= n;
  m->blocks--;
  free(p);
}
static inline void fuzz_mem_empty(const fuzz_mem *m) { CHECK(m->live == 0 && m->blocks == 0); }

#endif
