#!/bin/sh
# A C++ compiler that parses torch's headers once instead of once a file.
#
# Stands in for $CXX while mmcv's ops are compiled. GCC takes a precompiled header only if it was made with the very flags
# of the file that includes it, so the header is made here, from the first file's own command line, and kept by the checksum
# of the flags. Whatever goes wrong with it, the file is compiled the ordinary way.
cxx=${HEADWEIGHTS_CXX:-c++}
pch_dir=${HEADWEIGHTS_PCH_DIR:-}

compiles=no flags= skip=no
for arg; do
    if [ "$skip" = yes ]; then skip=no; continue; fi
    case $arg in
        -c) compiles=yes ;;
        -o | -MF | -MT | -MQ) skip=yes ;;
        -MD | -MMD | *.cpp | *.cc) ;;
        *) flags="$flags $arg" ;;
    esac
done
[ "$compiles" = yes ] && [ -d "$pch_dir" ] || exec "$cxx" "$@"
# A flag with a blank in it would be torn apart below: leave such a command alone.
for arg; do
    case $arg in *[[:space:]]*) exec "$cxx" "$@" ;; esac
done

home=$pch_dir/$(echo "$flags" | cksum | tr ' ' '-')
if mkdir "$home" 2>/dev/null; then
    # Just what nearly every file includes: a larger precompiled header (torch/extension.h) costs more to load than it saves.
    echo '#include <torch/types.h>' > "$home/torch_pch.h"
    # shellcheck disable=SC2086
    if "$cxx" $flags -x c++-header "$home/torch_pch.h" -o "$home/new.gch" 2>"$home/log"; then
        mv "$home/new.gch" "$home/torch_pch.h.gch"
    fi
    touch "$home/done"
else
    while [ ! -e "$home/done" ]; do sleep 0.5; done
fi
[ -e "$home/torch_pch.h.gch" ] || exec "$cxx" "$@"
exec "$cxx" -include "$home/torch_pch.h" "$@"
