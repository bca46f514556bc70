#include "pubsub/engine.h"
#include <string.h>

int msub_shared_new(const msub_mem *mem, const uint8_t entropy[32], msub_shared **out) {
  msub_mem m = mem ? *mem : msub__mem_default();
  msub_shared *sh = msub__zalloc(&m, 1, sizeof *sh);
  if (!sh) return MSUB_ERR_NOMEM;
  sh->mem = m;
  msub__hashkey_init(&sh->key, entropy);
  *out = sh;
  return MSUB_OK;
}

int msub_shared_free(msub_shared *sh) {
  if (!sh) return MSUB_OK;
  if (sh->engines || sh->messages || sh->controls) return MSUB_ERR_STATE;
  while (sh->plans) {
    msub_plan *p = sh->plans;
    sh->plans = p->next;
    msub__plan_drop(sh, p);
  }
  msub__free(&sh->mem, sh->id_fns, sh->cap_id_fns * sizeof *sh->id_fns);
  msub__interns_fini(&sh->names, &sh->mem);
  msub__interns_fini(&sh->peers, &sh->mem);
  msub_mem m = sh->mem;
  msub__free(&m, sh, sizeof *sh);
  return MSUB_OK;
}

msub_bytes msub_name_bytes(const msub_shared *sh, uint32_t name) { return msub__intern_bytes(&sh->names, name); }
msub_bytes msub_peer_bytes(const msub_shared *sh, msub_peer p) { return msub__intern_bytes(&sh->peers, p.v); }

int msub_peer_hold(msub_shared *sh, msub_peer p) {
  if (p.v == 0 || p.v >= sh->peers.n || sh->peers.e[p.v].refs == 0) return MSUB_ERR_STALE;
  msub__intern_ref(&sh->peers, p.v);
  return MSUB_OK;
}
void msub_peer_drop(msub_shared *sh, msub_peer p) { msub__intern_drop(&sh->peers, &sh->mem, &sh->key, p.v); }
