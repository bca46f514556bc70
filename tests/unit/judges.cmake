# Who judges messages: signatures and validators.
foreach(part signing validators)
  msub_criterion_test(unit.${part} TIER quick SOURCES test_${part}.c ../support/engine_world.c ../support/count_mem.c LIBS meshsub-crypto_static)
  if(TARGET unit.${part})
    target_include_directories(unit.${part} PRIVATE ../support)
  endif()
endforeach()
