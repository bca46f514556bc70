/* routers/gossipsub/promises.h: who announced a message by IHAVE, was asked for it, and so has promised it. One id of each IWANT is
 * the promise. It is kept by the message, whoever brings it, once its authenticity is beyond doubt; else broken when its time is over. */
#ifndef MSUB_ROUTERS_GOSSIPSUB_PROMISES_H
#define MSUB_ROUTERS_GOSSIPSUB_PROMISES_H
#include "base/ring.h"
#include "base/table.h"

typedef struct msub__promises {
  msub__ring ring;   /* in order of their time */
  msub__table index; /* hash → number */
  uint32_t first;    /* number of the front; modulo 2^31 */
} msub__promises;

void msub__promises_init(msub__promises *p);
void msub__promises_fini(msub__promises *p, const msub_mem *mem);
/* peer has promised the message of this hash until then; a promise that it has given already stays as it is. */
void msub__promises_add(msub__promises *p, const msub_mem *mem, uint64_t hash, uint32_t peer, uint64_t until);
void msub__promises_keep(msub__promises *p, uint64_t hash);   /* the message is here */
void msub__promises_release(msub__promises *p, uint32_t peer); /* nothing is expected of this peer any more */
/* Takes out the next one whose time was over before now; its peer, or MSUB__NONE. */
uint32_t msub__promises_broken(msub__promises *p, const msub_mem *mem, uint64_t now);
size_t msub__promises_count(const msub__promises *p);
#endif
