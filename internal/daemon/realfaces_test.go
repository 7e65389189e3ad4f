package daemon

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const realFaces = "../../../shared/faces"

// realPairs are pairs of photographs of one person, or of two, from the list
// beside the photographs.
func realPairs(t *testing.T, most int) (mates, others [][2]string) {
	t.Helper()
	f, err := os.Open(filepath.Join(realFaces, "pairs.txt"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("there are no photographs in ../shared/faces")
	} else if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	seen := map[string]bool{}
	for lines.Scan() {
		field := strings.Split(lines.Text(), "\t")
		if len(field) != 3 || seen[field[0]] || seen[filepath.Dir(field[0])] {
			continue
		}
		seen[filepath.Dir(field[0])] = true // each person once
		pair := [2]string{filepath.Join(realFaces, "lfw", field[0]), filepath.Join(realFaces, "lfw", field[1])}
		switch {
		case field[2] == "1" && len(mates) < most:
			mates = append(mates, pair)
		case field[2] == "0" && len(others) < most:
			others = append(others, pair)
		}
	}
	return mates, others
}

// Real photographs through the whole API: those of one person match, those of two
// do not. A few must be enough for a test; error rates are measured by
// cypherface eval.
func TestRealFacesThroughTheAPI(t *testing.T) {
	mates, others := realPairs(t, 12)
	d := start(t, shortDir(t), "--camera", "none:")
	put := func(id, kind, image string) bool {
		link := d.call("POST", "/api/upload/generate-url/", fmt.Sprintf(`{"userId":%q,"imageName":"a.jpg","contentType":"image/jpeg","type":%q}`, id, kind), 200)
		return d.putJPEG(link["url"].(string), image) == 200
	}
	matches := func(n int, pair [2]string) (match, used bool) {
		id := d.call("POST", "/register/", fmt.Sprintf(`{"firstname":"P","lastname":"Q","email":"p%d@example.org"}`, n), 201)["userId"].(string)
		if !put(id, "upload", pair[0]) || !put(id, "match", pair[1]) {
			return false, false // turned away for its quality
		}
		m := d.call("POST", "/api/face/match/", fmt.Sprintf(`{"userId":%q}`, id), 200)
		return m["match"] == true, true
	}
	right, wrong, used := 0, 0, 0
	for i, pair := range mates {
		match, ok := matches(i, pair)
		if ok {
			used++
		}
		if match {
			right++
		}
	}
	for i, pair := range others {
		if match, _ := matches(100+i, pair); match {
			wrong++
		}
	}
	t.Logf("%d of %d mates match, %d were usable; %d of %d others match", right, len(mates), used, wrong, len(others))
	if used < len(mates)*2/3 || right < used*2/3 || wrong > 0 {
		t.Errorf("%d of %d mates match, %d were usable; %d of %d others match", right, len(mates), used, wrong, len(others))
	}
}

// putJPEG uploads a photograph and returns the status.
func (d *daemonRun) putJPEG(link, path string) int {
	d.t.Helper()
	f, err := os.Open(path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	req, err := http.NewRequest("PUT", link, f)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "image/jpeg")
	resp, err := d.http.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}
