package attack

import (
	"os"
	"strings"
	"testing"
)

func TestMake(t *testing.T) {
	if os.Getenv("MAKE") == "" {
		t.Skip()
	}
	s := Studio{Cache: "/tmp/cl/cache3"}
	for _, sp := range strings.Split(os.Getenv("MAKE"), ",") {
		for i := range 5 {
			for _, active := range []bool{false, true} {
				if active && os.Getenv("ACTIVE") == "" {
					continue
				}
				if _, err := s.Film(t.Context(), Tuning(36).Attempt(Species(sp), i, active)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
