/** The words that generated instance names are made of. */
export const ADJECTIVES =
  "able amber ample apt bold brave brisk calm candid clear clever cosmic crisp daring deft eager early even fair fleet fond frank fresh gentle glad golden grand happy hardy honest humble jolly keen kind lively loyal lucid lunar merry mild modest neat nimble noble patient placid polite proud quick quiet rapid ready regal robust serene sharp silent smart snug solid spry stable steady sturdy subtle sunny swift tender tidy true upbeat vivid warm wise witty zesty".split(
    " ",
  );

export const ANIMALS =
  "alpaca ant badger bat bear beaver bee bison boar bobcat camel caribou cat cheetah cobra condor coyote crab crane cricket crow deer dingo dolphin dove dragonfly duck eagle eel egret elk emu falcon ferret finch firefly fox frog gazelle gecko gibbon goose gopher grouse gull hare hawk hedgehog heron hornet ibex ibis iguana jackal jaguar jay kestrel kite koala lark lemur leopard lion lizard llama lobster loon lynx magpie marmot marten mole moose moth newt ocelot octopus orca osprey otter owl ox panda panther parrot pelican penguin pheasant pika puffin puma quail rabbit raccoon raven robin salmon seal shark sparrow squid stork swan tapir tern tiger toad trout turtle viper vole walrus wasp weasel whale wolf wombat wren yak zebra".split(
    " ",
  );
