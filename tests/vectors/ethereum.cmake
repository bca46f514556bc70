# The profile of examples/ethereum_profile.h against known ids. snappy is the example's, so it may be missing.
if(NOT MSUB_ENGINE_ONLY)
  pkg_check_modules(SNAPPY IMPORTED_TARGET snappy)
endif()
if(SNAPPY_FOUND)
  msub_program_test(vectors.wire-ethereum TIER quick SOURCES wire_ethereum.c LIBS msub_vectors meshsub-crypto_static meshsub_static PkgConfig::SNAPPY)
endif()
