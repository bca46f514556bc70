/* A user of libmeshsub alone. */
#include <meshsub/engine.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  static const uint8_t entropy[32] = { 1 };
  msub_shared *shared = NULL;
  int rc = msub_shared_new(NULL, entropy, &shared);
  if (rc == MSUB_OK) rc = msub_shared_free(shared);
  msub_engine_opts opts;
  msub_engine_opts_init(&opts);
  bool sane = opts.size == sizeof opts && strcmp(msub_err_name(MSUB_ERR_LIMIT), "MSUB_ERR_LIMIT") == 0;
  printf("engine: %s\n", msub_err_text(rc));
  return rc == MSUB_OK && sane ? 0 : 1;
}
