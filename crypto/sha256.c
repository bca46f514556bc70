#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include "meshsub/crypto.h"

/* Looking the algorithm up costs more than hashing a message id, so it is done once a process. */
static const EVP_MD *algorithm(void) {
  static _Atomic(EVP_MD *) known;
  EVP_MD *md = atomic_load_explicit(&known, memory_order_acquire);
  if (md) return md;
  EVP_MD *mine = EVP_MD_fetch(NULL, "SHA256", NULL);
  if (mine && !atomic_compare_exchange_strong(&known, &md, mine)) {
    EVP_MD_free(mine); /* another thread was first */
    return md;
  }
  return mine;
}

void msub_sha256(msub_bytes in, uint8_t out[32]) {
  const EVP_MD *md = algorithm();
  if (md && EVP_Digest(in.p, in.n, out, NULL, md, NULL) == 1) return;
  SHA256(in.p, in.n, out);
}
