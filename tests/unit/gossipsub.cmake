foreach(part mesh control gossip gater limits nested partial regressions score)
  msub_criterion_test(unit.gossipsub-${part} TIER quick
    SOURCES test_gossipsub_${part}.c gossipsub_world.c ../support/engine_world.c ../support/count_mem.c
      ../support/forwarding.c LIBS meshsub-crypto_static)
  if(TARGET unit.gossipsub-${part})
    target_include_directories(unit.gossipsub-${part} PRIVATE ../support .)
  endif()
endforeach()
msub_criterion_test(unit.score-check TIER quick SOURCES test_score_check.c LIBS meshsub_static m)
