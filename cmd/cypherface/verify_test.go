package main

import (
	"encoding/json"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/models"
)

// faceFiles writes the golden faces and some files that show none.
func faceFiles(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	mates, stranger, err := models.GoldenImages()
	if err != nil {
		t.Fatal(err)
	}
	for name, img := range map[string]image.Image{
		"a1.png": mates[0], "a2.png": mates[1], "b.png": stranger, "grey.png": image.NewGray(image.Rect(0, 0, 64, 64)),
	} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, img); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	pair := image.NewNRGBA(image.Rect(0, 0, 640, 240))
	for i, img := range []image.Image{mates[0], stranger} {
		for y := range 240 {
			for x := range 320 {
				pair.Set(320*i+x, y, img.At(x, y))
			}
		}
	}
	b, err := picture.EncodeJPEG(pair, 95)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"pair.jpg": string(b), "cut.jpg": string(b[:len(b)/2]), "text.jpg": "no picture"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestVerify(t *testing.T) {
	dir := faceFiles(t)
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"mates", []string{"a1.png", "a2.png"}, 0, "match  similarity"},
		{"strangers", []string{"a1.png", "b.png"}, 1, "no match  similarity"},
		{"flags behind", []string{"a1.png", "b.png", "--fmr", "1e-3"}, 1, "no match"},
		{"one file", []string{"a1.png"}, 2, "usage: cypherface verify"},
		{"no such file", []string{"a1.png", "gone.png"}, 2, "no such file"},
		{"no face", []string{"grey.png", "a1.png"}, 2, "no face found"},
		{"two faces", []string{"pair.jpg", "a1.png"}, 2, "crop the image"},
		{"cut off", []string{"cut.jpg", "a1.png"}, 2, "image damaged"},
		{"no picture", []string{"text.jpg", "a1.png"}, 2, "neither JPEG nor PNG"},
		{"a folder", []string{".", "a1.png"}, 2, "regular file"},
		{"unsupported policy", []string{"--fmr", "1e-12", "a1.png", "a2.png"}, 2, "impostor pairs"},
		{"unknown pack", []string{"--pack", "finest", "a1.png", "a2.png"}, 2, "models list"},
		{"unknown flag", []string{"--fast"}, 2, "usage"},
		{"help", []string{"--help"}, 0, "cypherface verify passport.jpg door.jpg"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := []string{"verify", "--packs", testPacks}
			for _, a := range c.args {
				if strings.Contains(a, ".") && !strings.HasPrefix(a, "-") {
					a = filepath.Join(dir, a)
				}
				args = append(args, a)
			}
			out, errs, code := cli(t, nil, args...)
			if code != c.code || !strings.Contains(out+errs, c.says) {
				t.Errorf("status %d, want %d; want %q in:\n%s%s", code, c.code, c.says, out, errs)
			}
		})
	}
}

func TestVerifyJSON(t *testing.T) {
	dir := faceFiles(t)
	var v verdict
	out := mustCLI(t, "verify", "--json", "--packs", testPacks, filepath.Join(dir, "a1.png"), filepath.Join(dir, "a2.png"))
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatal(err)
	}
	if !v.Match || v.Similarity < v.Threshold || v.Threshold < 79.9 || v.FMR > 1e-4 || v.Faces != [2]int{1, 1} || v.Pack == "" {
		t.Errorf("%+v", v)
	}
}

func TestDetect(t *testing.T) {
	dir := faceFiles(t)
	drawn := filepath.Join(dir, "drawn.png")
	var d detection
	out := mustCLI(t, "detect", "--json", "--packs", testPacks, "--draw", drawn, filepath.Join(dir, "pair.jpg"))
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Faces) != 2 || d.Width != 640 || d.Faces[0].EyeDistance < d.Faces[1].EyeDistance || d.Faces[0].Quality.Sharpness == 0 {
		t.Errorf("%+v", d)
	}
	img, err := readPicture(drawn)
	if err != nil || img.Bounds() != image.Rect(0, 0, 640, 240) {
		t.Fatalf("drawn image: %v", err)
	}
	box := d.Faces[0].Box
	if r, g, _, _ := img.At(int(box[0]), int(box[1]+box[3])/2).RGBA(); g < r+0x4000 {
		t.Error("the dominant face's box is not drawn in green")
	}
	if _, _, code := cli(t, nil, "detect", "--packs", testPacks, filepath.Join(dir, "grey.png")); code != 1 {
		t.Errorf("no face: status %d, want 1", code)
	}
	if _, errs, code := cli(t, nil, "detect", "--packs", testPacks, "--draw", "x.gif", filepath.Join(dir, "b.png")); code != 2 || !strings.Contains(errs, ".png or .jpg") {
		t.Errorf("an unknown format to draw: status %d, %s", code, errs)
	}
}

func TestUsage(t *testing.T) {
	out, _, code := cli(t, nil, "--help")
	if code != 0 {
		t.Errorf("--help: status %d", code)
	}
	for _, c := range commands() {
		if !c.hidden && !strings.Contains(out, c.name) {
			t.Errorf("the list lacks %s", c.name)
		}
		if c.hidden {
			continue
		}
		help, errs, code := cli(t, nil, c.name, "--help")
		if code != 0 || !strings.Contains(help, "cypherface "+c.name) || !strings.Contains(help, "-json") {
			t.Errorf("%s --help: status %d\n%s%s", c.name, code, help, errs)
		}
	}
	if _, errs, code := cli(t, nil, "fly"); code != 2 || !strings.Contains(errs, "--help") {
		t.Errorf("an unknown command: status %d, %s", code, errs)
	}
	if _, _, code := cli(t, nil); code != 2 {
		t.Errorf("no command: status %d", code)
	}
}
