package auth

import (
	"bytes"
	"testing"
)

// FuzzPHC reads hashes as a damaged store could have them: what is taken for one asks
// for no more than it may, and is written as it was read.
func FuzzPHC(f *testing.F) {
	good := phc(current, make([]byte, saltLen), make([]byte, hashLen))
	for _, s := range []string{good, "", "$$$$$", good[:40], "$argon2id$v=19$m=4294967295,t=4294967295,p=255$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=8,t=1,p=1,x=2$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, salt, hash, known := parsePHC(s)
		if !known {
			return
		}
		if c.memory > most.memory || c.passes > most.passes || c.lanes > most.lanes || c.passes == 0 || c.lanes == 0 {
			t.Fatalf("%q asks for %+v", s, c)
		}
		again, salt2, hash2, known := parsePHC(phc(c, salt, hash))
		if !known || again != c || !bytes.Equal(salt, salt2) || !bytes.Equal(hash, hash2) {
			t.Fatalf("%q is read as %+v", s, c)
		}
	})
}
