.PHONY: help check lint types layers test fast data-tests fuzz package test-pythons docs spelling anchors links browse pages networks-speed
CASES ?= 200000
SEED ?= random
DATA = alanine efficientnet_lite0 faces font_digits mnist mnist_cnn qm9 series temperatures

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

check: lint types layers test  ## what CI runs on the code

lint:
	ruff check .
	ruff format --check .

types:
	mypy

layers:
	lint-imports

test:  ## everything but the tests of fetched data
	python -m pytest

fast:  ## the tests that need less than a quarter of a second each
	python -m pytest -m "not slow"

data-tests:  ## fetch the data sets and judges that tests need, then test them
	pip install -c constraints.txt -e '.[dev,judges,series]'
	for name in $(DATA); do sfbench data fetch $$name || exit 1; done
	python -m pytest -m data

package:  ## build the distributions, install the wheel into an empty environment, run a study from the source
	python -m pytest -n 0 -m package

test-pythons:  ## the wheel in an environment of each Python 3.11 to 3.13 that is here; needs a registry
	python -m pytest -n 0 -m pythons

fuzz:  ## hostile arguments for every public function; an hour by default
	SFBENCH_FUZZ_CASES=$(CASES) python -m pytest tests/fuzz --hypothesis-seed=$(SEED)

MATHJAX = docs/_static/mathjax/tex-svg.js

docs: $(MATHJAX)  ## the site, docs/_build/html/index.html; needs the extra docs, and npm the first time
	python -m sphinx -W --keep-going -q -b html docs docs/_build/html

spelling:  ## of pages, docstrings and comments
	codespell README.md CHANGELOG.md CONTRIBUTING.md docs sfbench solvers synthetic benchmarks examples

anchors:  ## of the built site: links inside it, and what readers look for within three clicks
	cd docs && python -m _site.links _build/html

links: anchors  ## those, and links to other sites where the network is there
	@cd docs && python -m _site.links --online || exit 0; \
	cd .. && SFBENCH_GALLERY=none python -m sphinx -q -b linkcheck docs docs/_build/links

browse:  ## the built site in Chromium: nothing fetched, formulas set, 360 px, light and dark, axe-core finds nothing serious
	npm install --silent --no-save --prefix docs/_build/npm puppeteer-core@24 axe-core@4
	cp docs/_site/browse.mjs docs/_build/npm/ && node docs/_build/npm/browse.mjs docs/_build/html docs/_build/screenshots

networks-speed:  ## networks against bare forward passes, on an idle machine (15 minutes), and the pages that say so
	-OMP_NUM_THREADS=1 python -m benchmarks.networks_speed --out benchmarks/results/networks_speed
	$(MAKE) pages

pages:  ## pages of results and measured values of the theory, from the stores in benchmarks/results
	cd docs && python -m _site.results

$(MATHJAX):  # what sets the formulas, fetched once and kept beside the pages
	@command -v npm > /dev/null || { echo "make docs fetches MathJax with npm, which is not installed: see nodejs.org" >&2; exit 1; }
	mkdir -p docs/_build/npm docs/_static/mathjax
	npm install --silent --no-save --prefix docs/_build/npm mathjax@3.2.2
	cp docs/_build/npm/node_modules/mathjax/es5/tex-svg.js docs/_build/npm/node_modules/mathjax/LICENSE docs/_static/mathjax/
