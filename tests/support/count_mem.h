/* tests/support/count_mem.h: malloc that knows what is alive, and fails when a test says so. */
#ifndef MSUB_TESTS_COUNT_MEM_H
#define MSUB_TESTS_COUNT_MEM_H
#include "meshsub/base.h"

typedef struct count_mem {
  size_t live_bytes, live_blocks, allocs; /* allocs: since it was zeroed, failed ones too */
  size_t fail_after; /* the how-manieth from here fails, once; it is 0 then. 0: none does */
} count_mem;

msub_mem count_mem_of(count_mem *c); /* c: zeroed, and alive as long as what it counts */
#endif
