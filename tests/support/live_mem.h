/* tests/support/live_mem.h: malloc that knows how many bytes are alive, from any thread. (count_mem.h knows more, on one thread.) */
#ifndef MSUB_TESTS_LIVE_MEM_H
#define MSUB_TESTS_LIVE_MEM_H
#include "meshsub/base.h"

extern const msub_mem live_mem;
extern const msub_mem live_mem_kept; /* the same, and the sanitizer takes nothing of it for a leak: what is kept from one run to the next */
size_t live_bytes(void);             /* of both */
#endif
