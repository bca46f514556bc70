/* base/mem.h: the instance's allocator with the arithmetic done safely. Sizes are checked; a failed call changes nothing. */
#ifndef MSUB_BASE_MEM_H
#define MSUB_BASE_MEM_H
#include "meshsub/base.h"

/* malloc and free. */
msub_mem msub__mem_default(void);
void *msub__alloc(const msub_mem *m, size_t n);                 /* n == 0: NULL is a legal answer */
void *msub__zalloc(const msub_mem *m, size_t count, size_t size); /* zeroed; NULL when count * size overflows */
void msub__free(const msub_mem *m, void *p, size_t n);          /* p may be NULL */
/* A block of new_n bytes that begins with the old content; on NULL the old block is untouched. */
void *msub__realloc(const msub_mem *m, void *p, size_t old_n, size_t new_n);
#endif
