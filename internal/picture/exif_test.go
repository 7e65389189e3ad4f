package picture

import (
	"bytes"
	"testing"
)

func TestOrientationOfOddEXIF(t *testing.T) {
	good := []byte("II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00")
	with := func(at int, v ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], v)
		return b
	}
	for name, tt := range map[string]struct {
		tiff []byte
		want int
	}{
		"good":                {good, 6},
		"empty":               {nil, 1},
		"other magic":         {with(2, 43), 1},
		"directory far away":  {with(4, 0xFF, 0xFF, 0xFF, 0xFF), 1},
		"directory at end":    {with(4, byte(len(good)-1)), 1},
		"other type":          {with(12, 4), 1},
		"two values":          {with(14, 2), 1},
		"orientation 0":       {with(18, 0), 1},
		"orientation 9":       {with(18, 9), 1},
		"many entries":        {with(8, 0xFF, 0xFF), 6},
		"many, none of it":    {with(8, 0xFF, 0xFF, 0x13), 1},
		"cut within an entry": {good[:15], 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := orientation(tt.tiff); got != tt.want {
				t.Errorf("orientation %d, want %d", got, tt.want)
			}
		})
	}
}

func FuzzOrientation(f *testing.F) {
	f.Add([]byte("II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"))
	f.Add([]byte("MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if o := orientation(b); o < 1 || o > 8 {
			t.Errorf("orientation %d", o)
		}
	})
}
