// What peer-bdwgc is where the library was not found when it was compiled.
#include <stdio.h>

int main(void)
{
    fprintf(stderr, "peer-bdwgc: not compiled, as pkg-config does not find bdw-gc: install libgc-dev (Debian), gc-devel (Fedora) or gc "
                    "(Arch), then touch benches/peers/build.rs, and build again\n");
    return 3;
}
