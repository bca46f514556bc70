/* A user of libmeshsub-crypto. */
#include <meshsub/crypto.h>
#include <stdio.h>

int main(void) {
  msub_key *key = NULL;
  int rc = msub_key_generate(&key);
  if (rc != MSUB_OK) return 1;
  uint8_t signature[MSUB_SIG_MAX];
  msub_bytes what = msub_str("what is signed");
  int n = msub_key_sign(key, what, signature, sizeof signature);
  rc = n < 0 ? n : msub_verify(msub_key_public(key), what, (msub_bytes){ signature, (size_t)n });
  printf("identity: %s\n", msub_err_text(rc));
  msub_key_free(key);
  return rc == MSUB_OK ? 0 : 1;
}
