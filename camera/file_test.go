package camera_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/camera/cameratest"
)

// grey is a picture of one luma value.
func grey(luma uint8) *image.Gray {
	img := image.NewGray(image.Rect(0, 0, 32, 16))
	for i := range img.Pix {
		img.Pix[i] = luma
	}
	return img
}

func jpegOf(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pngOf(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// y4mOf is a clip of 4×2 pixels with these luma values.
func y4mOf(header string, chroma int, lumas ...byte) []byte {
	b := []byte(header + "\n")
	for _, luma := range lumas {
		b = append(b, "FRAME Ix\n"...)
		b = append(b, bytes.Repeat([]byte{luma}, 8)...)
		b = append(b, bytes.Repeat([]byte{77}, 2*chroma)...)
	}
	return b
}

func write(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, url string) *camera.Camera {
	t.Helper()
	cam, err := camera.Open(t.Context(), url, camera.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cam.Close() })
	return cam
}

// clips are one of each kind; those of more than one picture show 50, 100, 150.
func clips(t *testing.T) map[string]string {
	var mjpeg []byte
	dir := t.TempDir()
	for i, luma := range []uint8{50, 100, 150} {
		frame := jpegOf(t, grey(luma))
		mjpeg = append(append(mjpeg, frame...), "padding"...)
		name := filepath.Join(dir, fmt.Sprintf("%d.JPG", i))
		if err := os.WriteFile(name, frame, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return map[string]string{
		"jpeg":      "file:" + write(t, "a.jpg", jpegOf(t, grey(50))),
		"png":       "file:" + write(t, "a.png", pngOf(t, grey(50))),
		"mjpeg":     "file:" + write(t, "a.mjpeg", mjpeg) + "?fps=10",
		"y4m":       "file:" + write(t, "a.y4m", y4mOf("YUV4MPEG2 W4 H2 F10:1 Ip C420jpeg", 2, 50, 100, 150)),
		"y4m 422":   "file:" + write(t, "b.y4m", y4mOf("YUV4MPEG2 W4 H2 F10:1 C422", 4, 50, 100, 150)),
		"y4m 444":   "file:" + write(t, "c.y4m", y4mOf("YUV4MPEG2 W4 H2 C444", 8, 50, 100, 150)) + "?fps=10",
		"y4m mono":  "file:" + write(t, "d.y4m", y4mOf("YUV4MPEG2 H2 W4 F10:1 Cmono", 0, 50, 100, 150)),
		"directory": "dir:" + dir + "?fps=10",
	}
}

func TestClipsConform(t *testing.T) {
	for name, url := range clips(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cameratest.Source(t, func() camera.Source { return open(t, url) })
			})
		})
	}
}

func TestClipsPlayInOrderAndLoop(t *testing.T) {
	for name, url := range clips(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				want := []uint8{50, 100, 150, 50, 100}
				if name == "jpeg" || name == "png" {
					want = []uint8{50, 50, 50, 50, 50}
				}
				cam, begin := open(t, url), time.Now()
				for i, luma := range want {
					f, err := cam.Next(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if got := f.Image.Y[0]; got != luma {
						t.Errorf("frame %d shows %d, want %d", i, got, luma)
					}
					if got, want := f.Time.Sub(begin), time.Duration(i)*100*time.Millisecond; got != want {
						t.Errorf("frame %d came at %v, want %v", i, got, want)
					}
					if f.Dropped != 0 {
						t.Errorf("frame %d: %d dropped", i, f.Dropped)
					}
				}
			})
		})
	}
}

func TestLateReaderMissesFrames(t *testing.T) {
	url := clips(t)["mjpeg"]
	synctest.Test(t, func(t *testing.T) {
		cam := open(t, url)
		var shown []uint8
		for _, late := range []time.Duration{0, 450 * time.Millisecond, 0} {
			time.Sleep(late)
			f, err := cam.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			shown = append(shown, f.Image.Y[0])
		}
		if want := []uint8{50, 100, 150}; !bytes.Equal(shown, want) { // frames 0, 4, 5
			t.Errorf("showed %v, want %v", shown, want)
		}
		if s := cam.State(); s.Dropped != 3 || s.Frames != 3 {
			t.Errorf("state %+v, want 3 frames and 3 dropped", s)
		}
	})
}

func TestDamagedPicturesAreDropped(t *testing.T) {
	dir := t.TempDir()
	for name, b := range map[string][]byte{"1.png": pngOf(t, grey(1)), "2.png": []byte("nothing"), "3.jpeg": jpegOf(t, grey(200)), "notes.txt": nil} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		cam := open(t, "dir:"+dir)
		var shown []uint8
		for range 4 {
			f, err := cam.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			shown = append(shown, f.Image.Y[0])
		}
		if want := []uint8{1, 200, 1, 200}; !bytes.Equal(shown, want) {
			t.Errorf("showed %v, want %v", shown, want)
		}
		if s := cam.State(); s.Dropped != 2 {
			t.Errorf("dropped %d, want 2", s.Dropped)
		}
	})
}

func TestFileThatChangesIsAFault(t *testing.T) {
	path := write(t, "a.y4m", y4mOf("YUV4MPEG2 W4 H2 F10:1 Cmono", 0, 1, 2))
	synctest.Test(t, func(t *testing.T) {
		cam := open(t, "file:"+path)
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := cam.Next(ctx); err == nil {
			t.Error("a frame from an empty file")
		}
		if s := cam.State(); s.Status != camera.StatusFault {
			t.Errorf("state %+v, want a fault", s)
		}
	})
}

func TestUnusableFiles(t *testing.T) {
	for name, b := range map[string][]byte{
		"empty.jpg":     nil,
		"text.txt":      []byte("not a picture"),
		"cut.jpg":       jpegOf(t, grey(1))[:200],
		"header.y4m":    []byte("YUV4MPEG2 W4 H2 Cmono\n"),
		"nosize.y4m":    []byte("YUV4MPEG2 W4 Cmono\nFRAME\n"),
		"deep.y4m":      []byte("YUV4MPEG2 W4 H2 C420p10\nFRAME\n"),
		"noframe.y4m":   []byte("YUV4MPEG2 W4 H2 Cmono\nFRANK\n12345678"),
		"cutframe.y4m":  []byte("YUV4MPEG2 W4 H2 Cmono\nFRAME\n1234567"),
		"endless.y4m":   append([]byte("YUV4MPEG2 "), bytes.Repeat([]byte("X"), 4096)...),
		"cutheader.y4m": []byte("YUV4MPEG2 W4 H2"),
	} {
		cam := open(t, "file:"+write(t, name, b))
		if s := cam.State(); s.Status != camera.StatusFault || s.Err == nil {
			t.Errorf("%s: state %+v, want a fault", name, s)
		}
	}
	if s := open(t, "dir:"+t.TempDir()).State(); s.Status != camera.StatusFault {
		t.Errorf("empty folder: state %+v, want a fault", s)
	}
}

// Colours survive the way into Y'CbCr; what is transparent turns white.
func TestStillKeepsItsColours(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 2, 1))
	img.Set(0, 0, color.NRGBA{200, 30, 60, 255})
	img.Set(1, 0, color.NRGBA{200, 30, 60, 0})
	f, err := open(t, "file:"+write(t, "a.png", pngOf(t, img))).Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for x, want := range []color.RGBA{{200, 30, 60, 255}, {255, 255, 255, 255}} {
		r, g, b, _ := f.Image.At(x, 0).RGBA()
		for i, d := range []int{int(r>>8) - int(want.R), int(g>>8) - int(want.G), int(b>>8) - int(want.B)} {
			if d < -2 || d > 2 {
				t.Errorf("pixel %d channel %d is off by %d", x, i, d)
			}
		}
	}
}
