# mclust's worker: reads requests from standard input, answers in JSON lines.
# Rscript mclust.R ROWS.csv MODEL K WEIGHTED   (columns, then the partition, then the weights)
arguments <- commandArgs(trailingOnly = TRUE)
suppressMessages(library(mclust))
options(warn = -1)
table <- as.matrix(read.csv(arguments[1], header = FALSE))
model <- arguments[2]
k <- as.integer(arguments[3])
weighted <- arguments[4] == "1"
d <- ncol(table) - 2
x <- unname(table[, 1:d, drop = FALSE])
z <- unmap(table[, d + 1], groups = 0:(k - 1))
weights <- table[, d + 2] / max(table[, d + 2])
rm(table)

fit <- function(iterations, tol) {
  # `me` begins with an M-step, so that one more of its iterations is the same number of M-steps.
  control <- emControl(tol = c(tol, 1e-10), itmax = c(iterations + 1, 10000))
  if (weighted) me.weighted(x, model, z, weights = weights, control = control)
  else me(x, model, z, control = control)
}
numbers <- function(v) paste0("[", paste(sprintf("%.17g", v), collapse = ","), "]")
say <- function(...) { cat(..., "\n", sep = ""); flush(stdout()) }

input <- file("stdin", "r")
while (length(line <- readLines(input, n = 1)) > 0) {
  words <- strsplit(line, " ")[[1]]
  if (words[1] == "versions") {
    say('{"mclust": "', as.character(packageVersion("mclust")), '", "R": "',
        as.character(getRversion()), '", "R\'s BLAS": "', basename(extSoftVersion()["BLAS"]), '"}')
    next
  }
  iterations <- as.integer(words[2])
  tol <- as.numeric(words[3])
  if (words[1] == "fit") {
    found <- tryCatch(fit(iterations, tol), error = identity)
    if (inherits(found, "error") || is.na(found$loglik)) {
      why <- if (inherits(found, "error")) conditionMessage(found) else attr(found, "WARNING")
      say('{"failed": "', gsub('[\\\\"\n]+', " ", why), '"}')
      next
    }
    p <- found$parameters
    steps <- as.numeric(unlist(attr(found, "info")["iterations"]))
    told <- length(steps) == 1 && !is.na(steps)  # some models, and weighted fits, do not tell
    say('{"iterations": ', if (told) abs(steps) - 1 else "null",
        ', "weights": ', numbers(p$pro), ', "means": ', numbers(p$mean),
        ', "covariances": ', numbers(p$variance$sigma), "}")
  } else {
    least <- as.numeric(words[4])
    gc(FALSE)
    fits <- 0
    began <- proc.time()
    repeat {
      fit(iterations, tol)
      fits <- fits + 1
      spent <- proc.time() - began
      if (spent[["elapsed"]] >= least) break
    }
    say(sprintf('{"seconds": %.17g, "cpu_seconds": %.17g, "fits": %d}', spent[["elapsed"]] / fits,
                (spent[["user.self"]] + spent[["sys.self"]]) / fits, fits))
  }
}
