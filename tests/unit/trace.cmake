foreach(part trace state)
  msub_criterion_test(unit.${part} TIER quick
    SOURCES test_${part}.c gossipsub_world.c ../support/engine_world.c ../support/count_mem.c ../support/forwarding.c LIBS meshsub-crypto_static)
  if(TARGET unit.${part})
    target_include_directories(unit.${part} PRIVATE ../support .)
  endif()
endforeach()
