package attack

import (
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"os"
	"testing"
	"time"
)

func TestLook(t *testing.T) {
	dir := os.Getenv("LOOK")
	if dir == "" {
		t.Skip()
	}
	var s Studio
	sheet := image.NewRGBA(image.Rect(0, 0, 6*320, 14*240))
	for row, sp := range append([]Species{Live}, Attacks()...) {
		a := Tuning(40).Attempt(sp, 3, true)
		start := time.Now()
		frames, err := s.Film(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(sp, len(frames), time.Since(start), a.Challenge)
		for col := range 6 {
			f := frames[min(len(frames)-1, col*len(frames)/6+2)].Image
			for y := range 240 {
				for x := range 320 {
					sheet.Set(col*320+x, row*240+y, f.At(2*x, 2*y))
				}
			}
		}
	}
	_ = draw.Src
	f, _ := os.Create(dir + "/sheet.png")
	png.Encode(f, sheet)
	f.Close()
}
