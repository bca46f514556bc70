#include "live_mem.h"
#include <stdatomic.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KNOWS_LEAKS
#endif
#endif
#ifdef KNOWS_LEAKS
#include <sanitizer/lsan_interface.h>
#else
static void __lsan_disable(void) {}
static void __lsan_enable(void) {}
#endif

static atomic_size_t live;

static void *take(void *ud, size_t n) {
  (void)ud;
  void *p = malloc(n ? n : 1);
  if (p) atomic_fetch_add(&live, n);
  return p;
}
static void *take_kept(void *ud, size_t n) {
  __lsan_disable();
  void *p = take(ud, n);
  __lsan_enable();
  return p;
}
static void give(void *ud, void *p, size_t n) {
  (void)ud;
  if (p) atomic_fetch_sub(&live, n);
  free(p);
}

const msub_mem live_mem = { take, give, NULL };
const msub_mem live_mem_kept = { take_kept, give, NULL };
size_t live_bytes(void) { return atomic_load(&live); }
